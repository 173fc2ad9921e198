//! Writes the seeds of the fuzz targets into their corpora.

#![forbid(unsafe_code)]

use std::path::Path;
use std::{fs, io};

use evenkeel_testkit::fuzz;

fn main() -> io::Result<()> {
    write("datapath", &fuzz::datapath::seeds())?;
    write("sync", &fuzz::sync::seeds())?;
    write("vrrp", &fuzz::vrrp::seeds())
}

fn write(target: &str, seeds: &[Vec<u8>]) -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let folder = root.join(target);
    fs::create_dir_all(&folder)?;
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:02}")), seed)?;
    }
    Ok(())
}
