//! Completions are scripts that a shell can use.

use super::{LIMIT, said};
use crate::servers::engine::{self, Env};
use std::process::Command;

fn script(shell: &str) -> String {
    let output = engine::run(&["completions", shell], &Env::new(), LIMIT);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_commands_and_flags() {
    let dir = crate::servers::process::temp_dir();
    let file = dir.path().join("completions.bash");
    std::fs::write(&file, script("bash")).unwrap();
    for (words, expected) in
        [("strat-engine do", "doctor"), ("strat-engine strategy im", "import"), ("strat-engine --out", "--output")]
    {
        let count = words.split(' ').count();
        let ask = format!(
            r#"source {file}; words=($(complete -p strat-engine)); for ((n = 0; n < ${{#words[@]}}; n++)); do
               [[ ${{words[n]}} != -F ]] || function=${{words[n + 1]}}; done
               COMP_WORDS=({words}); COMP_CWORD={last}
               "$function" strat-engine "${{COMP_WORDS[{last}]}}" "${{COMP_WORDS[{before}]}}"
               printf '%s\n' "${{COMPREPLY[@]}}""#,
            file = file.display(),
            last = count - 1,
            before = count - 2,
        );
        let output = Command::new("bash").args(["--norc", "-c", &ask]).output().unwrap();
        let found = said(&output);
        assert_eq!(found.trim(), expected, "{words}");
    }
}

#[test]
fn other_shells_have_scripts_too() {
    for (shell, start) in [("zsh", "#compdef strat-engine"), ("fish", "# Print an optspec")] {
        let script = script(shell);
        assert!(script.starts_with(start) && script.contains("doctor"), "{shell}: {}", &script[..200]);
    }
}
