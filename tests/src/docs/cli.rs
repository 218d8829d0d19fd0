//! `docs/cli.md`: the command line's own help, and how the program ends.

use super::pages::NOTE;
use clap::CommandFactory as _;
use std::fmt::Write as _;
use strat_engine::cli::Cli;

const INTRO: &str = "# The command line

`strat-engine` is one program. Settings come from a file, the environment or `--set`, see [configuration.md](configuration.md);
results go to stdout, logs and errors to stderr.

## Output

`--output json` prints one JSON object a line for `strategy list`, `strategy show`, `strategy add` and its likes, `settings`,
`doctor` and `top`; the tables are for people and may change. An error is then one object as well, on stderr:
`{\"error\":…,\"hint\":…,\"exit_code\":…}`.

```sh
strat-engine --output json strategy list --status RUNNING | jq -r 'select(.position == \"BOUGHT\") | .strategy_id'
strat-engine --output json top | jq '.positions[] | select(.stop == null)'     # what has no stop
```

## How it ends

| exit code | means |
|---|---|
| 0 | done. `doctor`: nothing that does not work (warnings may be there) |
| 1 | failed; the message says what, and the hint what to do. `doctor`: something does not work |
| 2 | the command line or a setting is wrong; nothing was done |
| 3 | refused: there is no such strategy, there is one already, its state or a value does not allow it; nothing was changed |
| 4 | Redis or Postgres is away: try again. `top`: neither the engine nor Redis answers |

`run` ends with 0 after Ctrl-C or SIGTERM.

## Completions

```sh
source <(strat-engine completions bash)                                             # this shell
strat-engine completions bash > ~/.local/share/bash-completion/completions/strat-engine
strat-engine completions zsh > \"${fpath[1]}/_strat-engine\"
strat-engine completions fish > ~/.config/fish/completions/strat-engine.fish
```

## Each command

";

/// The page.
pub(super) fn page() -> String {
    let mut page = format!("{NOTE}{INTRO}");
    let mut root = Cli::command();
    root.build();
    help(&mut root, "strat-engine", &mut page);
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// Flags that hold for every command stand at the first one only.
fn help(command: &mut clap::Command, name: &str, page: &mut String) {
    let own = command.clone();
    let mut own = match name.contains(' ') {
        true => own.mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg }),
        false => own,
    };
    let text = own.render_long_help().to_string();
    let text: Vec<_> = text.lines().map(str::trim_end).collect();
    write!(page, "### {name}\n\n```text\n{}\n```\n\n", text.join("\n").trim_end()).unwrap();
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        let name = format!("{name} {}", sub.get_name());
        help(sub, &name, page);
    }
}
