//! Lines in the server's log.

use redis_module::Context;

/// Something needs a person's eye.
pub(crate) fn log_warning(ctx: &Context, text: &str) {
    ctx.log_warning(&as_format(text));
}

/// Something worth to know.
pub(crate) fn log_notice(ctx: &Context, text: &str) {
    ctx.log_notice(&as_format(text));
}

/// The server takes the line as a format of `printf`: a `%s` that a user wrote into a field would read, a `%n` write
/// wherever the stack points to. A NUL would end the line.
fn as_format(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>().replace('%', "%%")
}
