// SPDX-License-Identifier: MIT
//! Finds libtoytimer: in `$TOYTIMER_LIB_DIR` if it is set; otherwise where pkg-config and the linker find it.
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=TOYTIMER_LIB_DIR");
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(folder) = std::env::var("TOYTIMER_LIB_DIR") {
        println!("cargo:rustc-link-search=native={folder}");
    } else if let Ok(found) =
        Command::new("pkg-config").args(["--libs-only-L", "libtoytimer"]).output()
    {
        for word in String::from_utf8_lossy(&found.stdout).split_whitespace() {
            if let Some(folder) = word.strip_prefix("-L") {
                println!("cargo:rustc-link-search=native={folder}");
            }
        }
    }
    println!("cargo:rustc-link-lib=dylib=toytimer");
}
