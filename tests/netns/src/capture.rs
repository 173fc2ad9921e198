//! All VRRP that a node sends and receives, and tshark's word on it.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use evenkeel_lab::NetnsThread;
use socket2::SockFilter;

use crate::cluster::{CLIENT, Cluster};
use crate::frames::Frames;
use crate::frames::filter::{accept, byte, equal, half, reject};
use crate::tap::Stop;
use crate::watch::{Record, Sighting, parse};

/// How long the recorder waits for a frame before it looks whether it shall stop.
const STOP_POLL: Duration = Duration::from_millis(50);

/// Frames with the time at which they passed.
type Book = Arc<Mutex<Vec<(Instant, Vec<u8>)>>>;

/// A running capture; dropping it ends it.
#[derive(Debug)]
pub struct Capture {
    _thread: NetnsThread<io::Result<()>>,
    _stop: Stop,
    frames: Book,
}

impl Capture {
    /// Begins to record at a node.
    ///
    /// # Panics
    /// Where the node is off.
    #[must_use]
    pub fn start(cluster: &Cluster, node: &str) -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        let frames = Book::default();
        let (stop, book) = (Arc::clone(&flag), Arc::clone(&frames));
        let (ready, opened) = mpsc::sync_channel(1);
        let thread = cluster.node(node).thread(move || {
            let frames = Frames::open(&filter())?;
            ready.send(()).map_err(io::Error::other)?;
            record(&frames, &stop, &book)
        });
        let thread = thread.expect("the node is on");
        opened.recv().expect("the node has an interface");
        Self {
            _thread: thread,
            _stop: Stop(flag),
            frames,
        }
    }

    fn frames(&self) -> Vec<(Instant, Vec<u8>)> {
        let frames = self.frames.lock();
        frames.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All advertisements so far.
    #[must_use]
    pub fn record(&self) -> Record {
        let frames = self.frames().into_iter();
        let sightings = frames.filter_map(|(at, frame)| {
            let (mac, said) = parse(&frame, CLIENT)?;
            Some(Sighting { at, mac, said })
        });
        Record(sightings.collect())
    }

    /// Waits until so many more advertisements were sent from there.
    pub fn more_adverts(&self, cluster: &Cluster, from: Ipv4Addr, count: usize) {
        let began = Instant::now();
        cluster.eventually(&format!("{count} more advertisements from {from}"), || {
            self.record().since(began).adverts(from).len() >= count
        });
    }

    /// Has tshark read all that was sent from an address: it must find as many good advertisements, and
    /// nothing to remark. How many there were.
    ///
    /// # Panics
    /// Where tshark finds a fault.
    #[must_use]
    pub fn assert_well_formed(&self, folder: &Path, from: Ipv4Addr) -> usize {
        let path = folder.join("adverts.pcap");
        fs::write(&path, pcap(&self.frames())).expect("the folder is ours");
        let sent = self.record().adverts(from).len();
        let ours = format!("vrrp && ip.src == {from}");
        let bad = format!(
            "{ours} && (!(vrrp.checksum.status == 1) || !(ip.checksum.status == 1) || !(vrrp.type == 1) \
             || !(ip.ttl == 255) || _ws.expert || _ws.malformed)"
        );
        let [all, bad] = [ours, bad].map(|filter| {
            let output = Command::new("tshark")
                .args(["-o", "ip.check_checksum:TRUE", "-V", "-r"])
                .arg(&path)
                .args(["-Y", &filter])
                .output()
                .expect("tshark starts");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        });
        assert_eq!(bad, "", "tshark finds these malformed");
        assert_eq!(
            all.matches("Virtual Router Redundancy Protocol\n").count(),
            sent,
            "tshark does not know all of them: {all}"
        );
        sent
    }
}

/// Takes IPv4 packets of protocol 112.
fn filter() -> [SockFilter; 6] {
    [
        half(12),
        equal(0x0800, 0, 3),
        byte(14 + 9),
        equal(112, 0, 1),
        accept(),
        reject(),
    ]
}

fn record(frames: &Frames, stop: &AtomicBool, book: &Book) -> io::Result<()> {
    let mut buffer = [0; 2048];
    while !stop.load(Relaxed) {
        if let Some((length, at)) = frames.receive(&mut buffer, STOP_POLL)?
            && let Some(frame) = buffer.get(..length)
        {
            let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
            book.push((at, frame.to_vec()));
        }
    }
    Ok(())
}

/// A capture file (draft-ietf-opsawg-pcap), with times from the first frame on.
fn pcap(frames: &[(Instant, Vec<u8>)]) -> Vec<u8> {
    const MAGIC: u32 = 0xa1b2_c3d4;
    const ETHERNET: u32 = 1;
    const FRAME_MAX: u32 = 65_535;
    let mut file = MAGIC.to_le_bytes().to_vec();
    file.extend([2, 0, 4, 0]);
    file.extend([0; 8]);
    file.extend(FRAME_MAX.to_le_bytes());
    file.extend(ETHERNET.to_le_bytes());
    let began = frames.first().map(|(at, _)| *at);
    for (at, frame) in frames {
        let age = began.map_or(Duration::ZERO, |began| at.saturating_duration_since(began));
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let seconds = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        for field in [seconds, age.subsec_micros(), length, length] {
            file.extend(field.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}
