//! evenkeel on one director, another VRRP director on the other.

use std::time::{Duration, Instant};

use evenkeel_api::Role;
use evenkeel_netns_tests::cluster::{VIP, server};
use evenkeel_netns_tests::keepalived::Instance;
use evenkeel_netns_tests::texts::{config, maglev, router, service};
use evenkeel_netns_tests::watch::{Mac, Record};
use evenkeel_netns_tests::{Capture, Cluster, Daemon, Director, Watch};

use crate::peer::{Kind, Peer};
use crate::{Case, EARLY, ID, SLACK, Who};

const FRONT: &str = "front";

/// Checks that a busy machine delays do no harm.
const TCP: &str = "check = { tcp = true, port = 80, every = \"200ms\", timeout = \"200ms\", fall = 10, rise = 1 }";

pub(crate) struct Pair {
    pub(crate) case: Case,
    evenkeel: Option<Daemon>,
    peer: Option<Peer>,
    watch: Watch,
    /// At evenkeel's node: unicast is seen nowhere else.
    capture: Capture,
    pub(crate) cluster: Cluster,
}

impl Pair {
    /// Neither runs yet.
    pub(crate) fn boot(name: &str, case: Case) -> Self {
        let cluster = Cluster::boot_pair(name, 2);
        let pair = Self {
            case,
            evenkeel: None,
            peer: None,
            watch: Watch::start(&cluster, &[VIP]),
            capture: Capture::start(&cluster, case.place(Who::Evenkeel).0),
            cluster,
        };
        pair.director(Who::Evenkeel).write_config(&pair.config());
        pair
    }

    pub(crate) fn director(&self, who: Who) -> Director<'_> {
        self.cluster.director_at(self.case.place(who).0)
    }

    /// From where it answers ARP.
    fn mac(&self, who: Who) -> Mac {
        match who {
            Who::Evenkeel => self.director(who).mac(),
            Who::Peer => self.case.peer.mac(self.director(who)),
        }
    }

    fn config(&self) -> String {
        let case = &self.case;
        let mut more = format!(
            "version = {}\nadverts = \"{}ms\"\n",
            case.version,
            case.adverts().as_millis()
        );
        if case.unicast {
            let peer = case.place(Who::Peer).1;
            more += &format!("peers = [\"{peer}\"]\n");
        }
        let priority = case.priority(Who::Evenkeel);
        config(&[
            router(FRONT, ID, &[VIP], priority, &more),
            maglev(&service("web", 80, &[1, 2], TCP)),
        ])
    }

    /// Starts it; when. FRR leaves all to the kernel as it was until it runs, so that is when it runs.
    pub(crate) fn start(&mut self, who: Who) -> Instant {
        let mut when = Instant::now();
        match who {
            Who::Evenkeel => {
                let daemon = self.director(who).start_daemon_from("evenkeel".as_ref());
                self.evenkeel = Some(daemon);
            }
            Who::Peer => {
                let [own, peer] = [who, who.other()].map(|who| self.case.place(who).1);
                let instance = Instance {
                    version: self.case.version,
                    id: ID,
                    priority: self.case.priority(who),
                    adverts: self.case.adverts(),
                    address: VIP.into(),
                    unicast: self.case.unicast.then_some((own, peer)),
                };
                self.peer = Some(self.case.peer.start(self.director(who), &instance));
                if self.case.peer == Kind::Frr {
                    when = Instant::now();
                }
            }
        }
        when
    }

    /// SIGKILL; when.
    pub(crate) fn kill(&mut self, who: Who) -> Instant {
        let when = Instant::now();
        match who {
            Who::Evenkeel => self.evenkeel.take().unwrap().kill(),
            Who::Peer => self.peer.take().unwrap().kill(),
        }
        when
    }

    /// SIGTERM; when. It has ended when this returns.
    pub(crate) fn stop(&mut self, who: Who) -> Instant {
        let when = Instant::now();
        match who {
            Who::Evenkeel => {
                let status = self.evenkeel.take().unwrap().terminate();
                assert!(status.success(), "{status}");
            }
            Who::Peer => self.peer.take().unwrap().terminate(),
        }
        when
    }

    /// Both's advertisements since then.
    pub(crate) fn adverts(&self, since: Instant) -> Record {
        self.capture.record().since(since)
    }

    /// Waits until one is Active and the other, if it runs, Backup, by their own words, their advertisements
    /// and their answers to ARP.
    pub(crate) fn settles(&self, active: Who) {
        self.is_active_by_its_adverts(active);
        self.watch
            .only_answers(&self.cluster, self.mac(active), VIP);
        if active == Who::Evenkeel {
            let names = [1, 2].map(server);
            let answers = self.cluster.answers(80, 4);
            assert!(
                answers.iter().all(|name| names.contains(name)),
                "{answers:?}"
            );
        }
    }

    /// As [`settles`](Self::settles), where the other died with the address on its interface.
    pub(crate) fn is_active_by_its_adverts(&self, active: Who) {
        let (_, address) = self.case.place(active);
        let (_, other) = self.case.place(active.other());
        self.cluster.eventually("the roles by their own words", || {
            self.says(active, Role::Active) && self.says(active.other(), Role::Backup)
        });
        let since = Instant::now();
        self.capture.more_adverts(&self.cluster, address, 2);
        let adverts = self.adverts(since);
        assert_eq!(adverts.adverts(other), [], "both are Active");
    }

    /// Whether it has that role by its own words; one that does not run has any.
    fn says(&self, who: Who, role: Role) -> bool {
        match who {
            Who::Evenkeel if self.evenkeel.is_some() => self
                .director(who)
                .router(FRONT)
                .is_some_and(|router| router.role == role),
            Who::Peer => self
                .peer
                .as_ref()
                .is_none_or(|it| it.is_active() == Some(role == Role::Active)),
            Who::Evenkeel => true,
        }
    }

    /// Waits until so many more advertisements were sent by it.
    pub(crate) fn advertises_on(&self, who: Who, count: usize) {
        let (_, address) = self.case.place(who);
        self.capture.more_adverts(&self.cluster, address, count);
    }

    /// Waits until both say that they are Active.
    pub(crate) fn both_are_active(&self) {
        self.cluster.eventually("both are Active", || {
            [Who::Evenkeel, Who::Peer].map(|who| self.says(who, Role::Active)) == [true, true]
        });
    }

    /// Waits until evenkeel may take over.
    pub(crate) fn is_warm(&self) {
        self.cluster.eventually("evenkeel may take over", || {
            let router = self.director(Who::Evenkeel).router(FRONT);
            router.is_some_and(|router| router.may_take_over)
        });
    }

    /// Waits until a request of the client reaches evenkeel again.
    pub(crate) fn is_found_again(&self) {
        self.cluster.eventually("the client finds evenkeel", || {
            let asked = self.cluster.requests(80, 1);
            asked.iter().all(|record| record.outcome.is_ok())
        });
    }

    /// Why evenkeel has its role.
    pub(crate) fn reason(&self) -> String {
        let router = self.director(Who::Evenkeel).router(FRONT);
        router.unwrap().reason
    }

    /// From the other's last advertisement until this one's first since the cause.
    pub(crate) fn waited(&self, heir: Who, cause: Instant) -> Duration {
        let (_, address) = self.case.place(heir);
        let (_, other) = self.case.place(heir.other());
        let record = self.capture.record();
        let first = record.since(cause).adverts(address)[0].0;
        let mut last = record.adverts(other).into_iter();
        let last = last.rfind(|(at, _)| *at < first);
        first - last.unwrap().0
    }

    /// The heir took over when the RFCs say.
    pub(crate) fn assert_waited(&self, heir: Who, cause: Instant, expected: Duration) {
        let waited = self.waited(heir, cause);
        let allowed = expected.saturating_sub(EARLY)..expected + SLACK;
        assert!(
            allowed.contains(&waited),
            "{heir:?} waited {waited:?}, not {expected:?}"
        );
    }

    /// Since then, both never answered for the address for longer than the RFCs' time.
    pub(crate) fn assert_one_holder(&self, since: Instant) {
        let record = self.watch.record().since(since);
        let [evenkeel, peer] = [Who::Evenkeel, Who::Peer].map(|who| self.mac(who));
        let both = record.both_answered(VIP, evenkeel, peer);
        let lower = [Who::Evenkeel, Who::Peer].map(|who| self.case.master_down(who));
        assert!(both <= lower[0].max(lower[1]), "both answered for {both:?}");
    }

    /// Neither has anything to say against the other's advertisements, nor tshark against evenkeel's.
    pub(crate) fn assert_understood(&self) {
        let router = self.director(Who::Evenkeel).router(FRONT);
        if let Some(router) = router {
            assert!(router.troubles.is_empty(), "{router:#?}");
        }
        let log = self.peer.as_ref().map(Peer::log);
        for complaint in self.case.peer.complaints() {
            let found = log.iter().flat_map(|log| log.lines());
            let found: Vec<&str> = found.filter(|line| line.contains(*complaint)).collect();
            assert!(found.is_empty(), "{:?} says {found:#?}", self.case.peer);
        }
        let director = self.director(Who::Evenkeel);
        let (_, address) = self.case.place(Who::Evenkeel);
        let sent = self.capture.assert_well_formed(&director.folder(), address);
        assert!(sent > 0, "evenkeel has sent nothing");
    }
}
