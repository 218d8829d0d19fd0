//! A real browser: Chromium without a window, driven by its own `chromedriver` (W3C WebDriver).

use crate::servers::paths::{in_path, root};
use crate::servers::process::{Process, free_port, temp_dir};
use crate::support::{skip, until};
use serde_json::{Value as Json, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for something on the page: the machine may be busy with other tests.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// What WebDriver calls an element's name.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Names of the browser.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A browser with one page.
pub(super) struct Browser {
    port: u16,
    session: String,
    axe: String,
    // Dropped in this order: first the process, then its folder.
    _driver: Process,
    _dir: TempDir,
}

fn program(variable: &str, names: &[&str]) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    named.or_else(|| names.iter().find_map(|name| in_path(name))).filter(|path| path.is_file())
}

impl Browser {
    /// Starts one; `None`, said loudly, where the machine has none.
    pub(super) fn start(test: &str) -> Option<Self> {
        let axe = std::fs::read_to_string(root().join(".run/axe/axe.min.js"));
        let found = (program("STRAT_CHROMIUM", &BROWSERS), program("STRAT_CHROMEDRIVER", &["chromedriver"]), axe);
        let (Some(chromium), Some(driver), Ok(axe)) = found else {
            skip(test, "Chromium with chromedriver, or .run/axe");
            return None;
        };
        let (dir, port) = (temp_dir(), free_port());
        let mut driver = Process::start("chromedriver", &driver, &dir.path().join("log"), None, |command| {
            command.arg(format!("--port={port}")).env("HOME", dir.path()).current_dir(dir.path());
        });
        driver.wait_ready(LIMIT, || ask(port, "GET", "/status", "").filter(|(status, _)| *status == 200));
        let asked = json!({ "capabilities": { "alwaysMatch": capabilities(&chromium, dir.path()) } });
        let made = value(ask(port, "POST", "/session", &asked.to_string())).expect("a browser");
        let session = made["sessionId"].as_str().unwrap().to_owned();
        Some(Self { port, session, axe, _driver: driver, _dir: dir })
    }

    fn try_call(&self, method: &str, path: &str, body: &Json) -> Result<Json, String> {
        let text = if method == "POST" { body.to_string() } else { String::new() };
        value(ask(self.port, method, &format!("/session/{}{path}", self.session), &text))
    }

    fn call(&self, path: &str, body: &Json) -> Json {
        self.try_call("POST", path, body).unwrap_or_else(|why| panic!("{path} {body}: {why}"))
    }

    /// Opens a page.
    pub(super) fn open(&self, url: &str) {
        self.call("/url", &json!({ "url": url }));
    }

    /// What a script returns.
    pub(super) fn js(&self, script: &str) -> Json {
        self.call("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// What an asynchronous function returns; what it throws is a failure.
    pub(super) fn js_async(&self, body: &str) -> Json {
        let script = format!(
            "const done = arguments[0]; (async () => {{ {body} }})().then(done, (e) => done({{ thrown: String(e.stack) }}))"
        );
        let said = self.call("/execute/async", &json!({ "script": script, "args": [] }));
        assert!(said["thrown"].is_null(), "{}", said["thrown"]);
        said
    }

    fn element(&self, css: &str) -> Result<String, String> {
        let found = self.try_call("POST", "/element", &json!({ "using": "css selector", "value": css }))?;
        Ok(found[ELEMENT].as_str().unwrap_or_default().to_owned())
    }

    /// Clicks as a user does: it must be there, and nothing may lie over it.
    pub(super) fn click(&self, css: &str) {
        let click = || {
            let element = self.element(css).ok()?;
            self.try_call("POST", &format!("/element/{element}/click"), &json!({})).ok()
        };
        until(&format!("a click on {css}; {}", self.where_it_is()), LIMIT, click);
    }

    /// Types into a field, in place of what stood there.
    pub(super) fn fill(&self, css: &str, text: &str) {
        let element = until(&format!("the field {css}"), LIMIT, || self.element(css).ok());
        self.js(&format!("document.querySelector({}).value = ''", json!(css)));
        self.call(&format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// Presses a key where the focus is.
    pub(super) fn press(&self, key: &str) {
        let keys = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.call("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": keys }] }));
    }

    /// Waits until the element says something that fits.
    pub(super) fn says(&self, css: &str, expected: &str) {
        let mut last = Json::Null;
        let script = format!("return document.querySelector({})?.innerText", json!(css));
        let started = std::time::Instant::now();
        while started.elapsed() < LIMIT {
            last = self.js(&script);
            if last.as_str().is_some_and(|text| text.contains(expected)) {
                return;
            }
            // The pause between two looks.
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{css} says {last}, never {expected:?}; {}", self.where_it_is());
    }

    /// Waits until a script's expression holds.
    pub(super) fn holds(&self, expression: &str) {
        let script = format!("return Boolean({expression})");
        let holds = || self.js(&script).as_bool().filter(|holds| *holds);
        until(&format!("on the page: {expression}"), LIMIT, holds);
    }

    /// The page as text, for a failure's report.
    fn where_it_is(&self) -> String {
        let script = "return document.body.innerText.slice(0, 2000)";
        self.try_call("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
            .map_or_else(|why| why, |text| text.to_string())
    }

    fn devtools(&self, command: &str, parameters: &Json) {
        self.call("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }));
    }

    /// As on a screen of this size; below 600 it is a phone's.
    pub(super) fn size(&self, width: u32, height: u32) {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &screen);
    }

    /// As where the system's colours are `light` or `dark`.
    pub(super) fn colours(&self, scheme: &str) {
        // A colour that is on its way to another has a contrast of its own, which says nothing.
        let still = json!({ "name": "prefers-reduced-motion", "value": "reduce" });
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }, still] });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// A picture of what is seen.
    pub(super) fn picture(&self, file: &Path) {
        let base64 = self.try_call("GET", "/screenshot", &Json::Null).unwrap();
        let bytes = data_encoding::BASE64.decode(base64.as_str().unwrap().as_bytes()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }

    /// What axe-core finds that is serious or critical.
    pub(super) fn barriers(&self) -> Json {
        self.js(&self.axe);
        self.js_async(
            "const { violations } = await axe.run();
             const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
             return grave.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`)",
        )
    }

    /// What scripts have thrown, and what the page's policy has refused, since it was last asked.
    pub(super) fn complaints(&self) -> Vec<Json> {
        let log = self.call("/se/log", &json!({ "type": "browser" }));
        // A refused request is the page's business: it is there in the tests on purpose.
        let is_ours = |entry: &&Json| entry["level"] == "SEVERE" && entry["source"] != "network";
        log.as_array().unwrap().iter().filter(is_ours).cloned().collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium ends with its session; where that fails, with the pipe to its driver.
        let _ = self.try_call("DELETE", "", &Json::Null);
    }
}

fn capabilities(chromium: &Path, dir: &Path) -> Json {
    let profile = format!("--user-data-dir={}", dir.join("profile").display());
    // Only pages of ours are opened, often as root, where the sandbox cannot be.
    let args = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--lang=en-US",
        "--remote-debugging-pipe",
        &profile,
    ];
    json!({
        "browserName": "chrome",
        "goog:chromeOptions": { "binary": chromium, "args": args },
        "goog:loggingPrefs": { "browser": "ALL" },
        "timeouts": { "script": 30_000, "pageLoad": 30_000 },
    })
}

/// One request to the driver, which leaves the connection open whatever it is told.
fn ask(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    lines.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut length = 0;
    while line != "\r\n" {
        line.clear();
        lines.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if let Some(("content-length", said)) = line.to_ascii_lowercase().split_once(':') {
            length = said.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    Some((status, String::from_utf8(body).ok()?))
}

fn value(answer: Option<(u16, String)>) -> Result<Json, String> {
    let (status, body) = answer.ok_or("the driver does not answer")?;
    let mut parsed: Json = serde_json::from_str(&body).map_err(|why| format!("{why}: {body}"))?;
    let value = parsed["value"].take();
    if status == 200 { Ok(value) } else { Err(value["message"].to_string()) }
}
