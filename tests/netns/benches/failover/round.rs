//! One round of one contender: its director is killed, stopped and powered off, and comes back each time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use evenkeel_api::Role;
use evenkeel_lab::probe::UdpProbe;
use evenkeel_lab::stall::{STALL_MIN, StallMonitor};
use evenkeel_netns_tests::cluster::{VIP, vip};
use evenkeel_netns_tests::texts::{ECHO, pair_topology};
use evenkeel_netns_tests::watch::Mac;
use evenkeel_netns_tests::{Cluster, Director, Watch};

use crate::contender::{Contender, PLACES, Running};

/// How long all is well before something is done.
const STEADY_FOR: Duration = Duration::from_millis(300);

/// How long the probe goes on after the takeover.
const AFTERWARDS: Duration = Duration::from_millis(1500);

/// Stalls up to this are forgiven while a director starts: the kernel loads its program, and lets go of
/// the processor only after some milliseconds. A machine of its own would hold up nobody else.
const LOADING_MAX: Duration = Duration::from_millis(20);

/// What is done to the director with the higher priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// SIGKILL of its program.
    Kill,
    /// It is started again after that.
    ReturnAfterKill,
    /// SIGTERM.
    Stop,
    /// It is started again after that.
    ReturnAfterStop,
    /// Its host loses power.
    PowerOff,
}

impl Event {
    pub(crate) const ALL: [Self; 5] = [
        Self::Kill,
        Self::ReturnAfterKill,
        Self::Stop,
        Self::ReturnAfterStop,
        Self::PowerOff,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::ReturnAfterKill => "return after kill",
            Self::Stop => "clean stop",
            Self::ReturnAfterStop => "return after stop",
            Self::PowerOff => "power off",
        }
    }

    const fn starts_a_program(self) -> bool {
        matches!(self, Self::ReturnAfterKill | Self::ReturnAfterStop)
    }
}

/// What one event cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Longest time between two answers to the probe.
    pub(crate) gap: Duration,
    /// From the event until the heir announced the address.
    pub(crate) takeover: Duration,
    /// Datagrams that were never answered.
    pub(crate) lost: usize,
    /// Longest time for which both directors answered ARP for the address.
    pub(crate) held_twice: Duration,
    /// Whether the machine itself stood still meanwhile.
    pub(crate) stalled: bool,
}

/// The lab on which all contenders play.
pub(crate) struct Stage {
    adverts: Duration,
    stalls: StallMonitor,
    watch: Watch,
    macs: [Mac; 2],
    running: [Option<Running>; 2],
    cluster: Cluster,
}

impl Stage {
    pub(crate) fn new(adverts: Duration) -> anyhow::Result<Self> {
        // Directors echo by themselves wherever no service takes the probe.
        let echo = format!("boot = [[\"evenkeel\", \"lab-echo\", \"{VIP}\", \"{ECHO}\"]]\n");
        let kind = "kind = \"director\"\n";
        let topology =
            pair_topology("b-failover", 2, &[VIP]).replace(kind, &format!("{kind}{echo}"));
        let cluster = Cluster::boot_from(&topology, 2);
        Ok(Self {
            adverts,
            stalls: StallMonitor::start()?,
            watch: Watch::start(&cluster, &[VIP]),
            macs: PLACES.map(|(name, _, _)| cluster.director_at(name).mac()),
            running: [None, None],
            cluster,
        })
    }

    fn director(&self, place: usize) -> Director<'_> {
        self.cluster.director_at(PLACES[place].0)
    }

    fn start(&mut self, contender: Contender, place: usize) {
        let priority = PLACES[place].2;
        let running = contender.start(self.director(place), priority, self.adverts);
        self.running[place] = Some(running);
    }

    /// Plays all events; both directors are as new before and after.
    pub(crate) fn round(
        &mut self,
        contender: Contender,
        phase: Duration,
    ) -> anyhow::Result<Vec<(Event, Measured)>> {
        for place in [1, 0] {
            self.start(contender, place);
        }
        let mut all = Vec::new();
        for event in Event::ALL {
            let heir = usize::from(!event.starts_a_program());
            let measured = self.measure(event, contender, heir, phase);
            all.push((event, measured.with_context(|| event.name())?));
        }
        for place in [0, 1] {
            if self.running[place].is_some() {
                self.power_off(place)?;
            }
            self.cluster.lab.power_on(PLACES[place].0)?;
        }
        Ok(all)
    }

    /// Waits until one is Active and the other, if it runs, a warm Backup, and the probe reaches the Active.
    fn settle(&self, active: usize, probe: &UdpProbe) {
        let [a, b, c, d, e, f] = self.macs[active];
        let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        self.cluster.eventually("the directors settle", || {
            let is = |place: usize, role| {
                let running = self.running[place].as_ref();
                running.is_none_or(|running| running.is(role, self.director(place)))
            };
            is(active, Role::Active) && is(1 - active, Role::Backup)
        });
        // The client's own entry is what the probe goes by.
        self.cluster.eventually("the client knows the way", || {
            self.cluster.neighbour("client", VIP) == Some(mac.clone())
        });
        let answered = probe.answered();
        self.cluster
            .eventually("the probe is answered", || probe.answered() > answered);
    }

    fn measure(
        &mut self,
        event: Event,
        contender: Contender,
        heir: usize,
        phase: Duration,
    ) -> anyhow::Result<Measured> {
        let every = Duration::from_millis(1);
        let probe = UdpProbe::start(self.cluster.node("client"), vip(ECHO), every)?;
        self.settle(1 - heir, &probe);
        let from = Instant::now();
        thread::sleep(STEADY_FOR + phase);

        let cause = Instant::now();
        let cause = match event {
            Event::Kill => {
                self.running[0].take().unwrap().kill();
                cause
            }
            Event::Stop => {
                self.running[0].take().unwrap().stop();
                cause
            }
            Event::PowerOff => self.power_off(0)?,
            Event::ReturnAfterKill | Event::ReturnAfterStop => {
                self.start(contender, 0);
                cause
            }
        };
        let announced = || {
            let record = self.watch.record().since(cause);
            record.announcements(self.macs[heir], VIP).first().copied()
        };
        self.cluster
            .eventually("the heir announces itself", || announced().is_some());
        let takeover = announced().unwrap() - cause;
        thread::sleep(AFTERWARDS);

        let to = Instant::now();
        let echoes = probe.stop()?;
        let [one, other] = self.macs;
        let stalls = self.stalls.stalls(from, to);
        let forgiven = if event.starts_a_program() {
            LOADING_MAX
        } else {
            STALL_MIN
        };
        Ok(Measured {
            gap: echoes.longest_silence(from, to).length,
            takeover,
            lost: echoes
                .sent(from, to)
                .filter(|echo| echo.answers == 0)
                .count(),
            held_twice: self
                .watch
                .record()
                .since(cause)
                .both_answered(VIP, one, other),
            stalled: stalls.iter().any(|stall| stall.length > forgiven),
        })
    }

    /// When the link was down.
    fn power_off(&mut self, place: usize) -> anyhow::Result<Instant> {
        let running = self.running[place].take().unwrap();
        // The host is off once its processes are waited for, and this one is ours.
        let reaper = thread::spawn(move || running.reap());
        let when = self.cluster.lab.power_off(PLACES[place].0)?;
        reaper
            .join()
            .map_err(|_panic| anyhow!("the reaper panicked"))?;
        Ok(when)
    }
}
