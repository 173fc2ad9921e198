//! The machine's first file system: busybox, the modules to reach the host's files, a script.

use super::kernel::Kernel;
use crate::process;
use anyhow::Context as _;
use std::fs;

/// Modules without which the root file system can't be mounted; the rest is loaded on demand.
const MODULES: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];

const EXECUTABLE: u32 = 0o100_755;
const FOLDER: u32 = 0o040_755;

/// Mounts the host's files under a layer in memory and hands over to `/run/vm/second`.
const FIRST: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
for module in /modules/*; do insmod "$module" || echo "$module: not loaded"; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /host
mount -t tmpfs tmpfs /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work overlay /root
mount -t proc proc /root/proc
mount -t sysfs sysfs /root/sys
mount -t bpf bpf /root/sys/fs/bpf
mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
mount -t devtmpfs devtmpfs /root/dev
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t tmpfs tmpfs /root/dev/shm
mount -t tmpfs tmpfs /root/run
mkdir -p /root/run/vm /root/lib/modules
cp /bin/busybox /root/run/vm/busybox
ln -s busybox /root/run/vm/modprobe
cp /second /command /root/run/vm/
mount --bind "/root$(cat /modules-folder)" /root/lib/modules
exec switch_root /root /run/vm/busybox sh /run/vm/second
"#;

/// Runs `/run/vm/command` with the second serial port as its output, then powers off.
const SECOND: &str = r#"
busybox=/run/vm/busybox
echo /run/vm/modprobe > /proc/sys/kernel/modprobe
$busybox hostname vm
$busybox ip link set lo up
$busybox stty -F /dev/ttyS1 raw
/bin/sh /run/vm/command < /dev/null 2>&1 | $busybox cat > /dev/ttyS1
$busybox stty -F /dev/ttyS1 raw > /dev/null # waits until everything is sent
$busybox poweroff -f
"#;

/// The archive for `kernel`; `command` is the shell script to run at the end.
pub(super) fn build(kernel: &Kernel, command: &str) -> anyhow::Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["bin", "proc", "host", "memory", "root", "modules"] {
        archive.add(folder, FOLDER, b"");
    }
    let busybox = process::find("busybox")
        .context("busybox is not installed: `apt-get install busybox-static`")?;
    archive.add("bin/busybox", EXECUTABLE, &fs::read(busybox)?);
    for (number, path) in kernel.with_dependencies(&MODULES)?.iter().enumerate() {
        let content = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        archive.add(&format!("modules/{number:02}"), EXECUTABLE, &content);
    }
    let modules = kernel.modules.display().to_string();
    archive.add("modules-folder", EXECUTABLE, modules.as_bytes());
    archive.add("init", EXECUTABLE, FIRST.as_bytes());
    archive.add("second", EXECUTABLE, SECOND.as_bytes());
    archive.add("command", EXECUTABLE, command.as_bytes());
    Ok(archive.finish())
}

/// An archive in cpio's "newc" format, which the kernel unpacks.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    members: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.members += 1;
        let links = 1;
        let fields = [
            self.members as usize,
            mode as usize,
            0,
            0,
            links,
            0,
            content.len(),
            0,
            0,
            0,
            0,
            name.len() + 1,
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, b"");
        self.bytes
    }
}

#[cfg(test)]
mod tests;
