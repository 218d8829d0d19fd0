//! What the caller's user may see.

use redis_module::{AclPermissions, Context, RedisString, raw};

/// Whether the current user may read `key`. Where the server cannot say, everything the command itself is allowed to do is.
pub(crate) fn may_read(ctx: &Context, key: &str) -> bool {
    // SAFETY: the function pointers are set once, before any command can run.
    let known = unsafe { (raw::RedisModule_ACLCheckKeyPermissions, raw::RedisModule_GetCurrentUserName) };
    let known = known.0.is_some() && known.1.is_some();
    if !known {
        return true;
    }
    let user = ctx.get_current_user();
    let name = RedisString::create_from_slice(std::ptr::null_mut(), key.as_bytes());
    ctx.acl_check_key_permission(&user, &name, &AclPermissions::ACCESS).is_ok()
}
