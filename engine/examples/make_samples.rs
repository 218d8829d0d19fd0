//! Writes the sample files: `cargo run -p strat-engine --example make_samples -- samples`.

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "samples".to_owned());
    strat_engine::samples::write(std::path::Path::new(&folder))
}
