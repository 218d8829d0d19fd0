//! The migrations are part of the binary: a new one must not wait for a change of the code around it.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
