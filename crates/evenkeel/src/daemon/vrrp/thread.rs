//! The VRRP thread: packets, timers and orders, in that order, and nothing that could keep it waiting.
//!
//! It alone owns the machines and writes the gates of virtual routers. In steady state it allocates
//! nothing, opens no file and logs nothing; news go to the event loop, which is never waited for.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use evenkeel_model::VirtualRouterId;
use evenkeel_net::realtime::{self, Realtime};
use evenkeel_net::{WakerReader, wait_readable};
use evenkeel_vrrp::Packet;
use evenkeel_wire::vrrp;

use super::lateness::Lateness;
use super::seat::{Begun, Seat};
use super::tools::Tools;
use super::{News, Order, ThreadView, family};

/// Room for a received packet: the longest advertisement, and more to tell that it is too long.
const BUFFER: usize = 2048;

/// SCHED_FIFO priority: above ordinary real-time work, below the kernel's own threads.
const PRIORITY: u8 = 50;

/// Packets that are read before timers are looked at: more than peers of all virtual routers send in a
/// second at the shortest interval, few enough that a flood can't keep advertisements from going out.
const PACKETS_MAX: usize = 256;

/// Time for which the socket is left alone after an error, so that a lasting one can't take a processor.
const REST: Duration = Duration::from_millis(100);

pub(super) struct Thread {
    pub(super) tools: Tools,
    pub(super) orders: Receiver<Order>,
    pub(super) wake: WakerReader,
    seats: Vec<Seat>,
    lateness: Lateness,
    realtime: Realtime,
    /// Until when the socket is left alone.
    rest_until: Option<Instant>,
    stopping: bool,
}

impl Thread {
    /// Makes the calling thread the VRRP thread, until it has stopped.
    pub(super) fn run(tools: Tools, orders: Receiver<Order>, wake: WakerReader) {
        let thread = Self {
            tools,
            orders,
            wake,
            seats: Vec::new(),
            lateness: Lateness::default(),
            realtime: realtime::enter(PRIORITY),
            rest_until: None,
            stopping: false,
        };
        thread.serve();
    }

    fn serve(mut self) {
        let mut buffer = vec![0; BUFFER];
        loop {
            // What is queued comes before the timers: after a pause it tells who took over meanwhile.
            self.read_packets(&mut buffer);
            self.handle_times();
            if self.obey_orders().is_none() {
                return;
            }
            if self.stopping && self.seats.iter().all(Seat::has_stopped) {
                let succeeded = self.seats.iter().all(Seat::is_succeeded);
                self.tools.tell(News::Stopped { succeeded });
                return;
            }
            self.wait();
        }
    }

    fn read_packets(&mut self, buffer: &mut [u8]) {
        if self.is_resting() {
            return;
        }
        for socket in 0..self.tools.sockets.len() {
            self.read_from(socket, buffer);
        }
    }

    fn read_from(&mut self, socket: usize, buffer: &mut [u8]) {
        for _ in 0..PACKETS_MAX {
            let Some(socket) = self.tools.sockets.get(socket) else {
                return;
            };
            let of = socket.family();
            match socket.receive(buffer) {
                Ok(Some(received)) => {
                    let packet = Packet {
                        source: received.source,
                        destination: received.destination,
                        ttl: received.ttl,
                        payload: received.payload,
                    };
                    let id = received.payload.get(vrrp::VIRTUAL_ROUTER).copied();
                    let mut seats = self.seats.iter_mut();
                    if let Some(seat) = seats.find(|seat| {
                        Some(seat.config().id.get()) == id && family(seat.config()) == of
                    }) {
                        seat.handle_packet(&packet, &mut self.tools, Instant::now());
                    }
                }
                Ok(None) => return,
                // The interface is down, say; the link's own event tells.
                Err(_) => {
                    self.rest_until = Some(Instant::now() + REST);
                    return;
                }
            }
        }
    }

    fn handle_times(&mut self) {
        let now = Instant::now();
        for seat in &mut self.seats {
            if let Some(late) = seat.timer().and_then(|due| now.checked_duration_since(due)) {
                self.lateness.record(late);
            }
            seat.handle_time(&mut self.tools, now);
        }
    }

    /// Obeys what the event loop ordered; `None` once it has ended.
    fn obey_orders(&mut self) -> Option<()> {
        self.wake.drain();
        loop {
            match self.orders.try_recv() {
                Ok(order) => self.obey(order),
                Err(TryRecvError::Empty) => return Some(()),
                Err(TryRecvError::Disconnected) => return None,
            }
        }
    }

    fn obey(&mut self, order: Order) {
        let now = Instant::now();
        match order {
            Order::Retire {
                routers,
                addresses,
                done,
            } => {
                self.retire(&routers, &addresses, now);
                // Whoever asked may have ended.
                let _ended = done.send(());
            }
            Order::Configure {
                places,
                sockets,
                done,
            } => {
                self.tools.sockets.extend(sockets);
                for place in places {
                    let known = self.seats.iter_mut();
                    match known.into_iter().find(|s| s.config().id == place.config.id) {
                        Some(seat) => seat.reconfigure(place, &mut self.tools, now),
                        None => self.seats.push(Seat::take(place, &mut self.tools, now)),
                    }
                }
                let _ended = done.send(());
            }
            Order::Operator {
                routers,
                order,
                begun,
            } => {
                let _ended = begun.send(self.operate(&routers, order, now));
            }
            Order::MayTakeOver(id) => self.at(id, |seat, tools| seat.may_take_over(tools, now)),
            Order::Prepared(id) => self.at(id, |seat, tools| seat.prepared(tools, now)),
            Order::WaitForSync(id, wait) => {
                self.at(id, |seat, tools| seat.wait_for_sync(wait, tools, now));
            }
            Order::Link { up } => {
                self.tools.link_up = up;
                let rejoined = self.tools.sockets.iter().filter(|_| up);
                let failed =
                    rejoined.filter_map(|socket| Some((socket.family(), socket.rejoin().err()?)));
                let failed: Vec<_> = failed.collect();
                for (of, error) in failed {
                    // Without the group it hears nobody, and would take over from an Active that lives.
                    for seat in self.seats.iter().filter(|s| family(s.config()) == of) {
                        let what = format!("can't join the VRRP group: {error}");
                        let router = seat.config().id;
                        self.tools.tell(News::Trouble { router, what });
                    }
                }
                for seat in &mut self.seats {
                    seat.handle_link(&mut self.tools, now);
                }
            }
            Order::AddressLost(address) => {
                for seat in &mut self.seats {
                    seat.address_lost(address, &mut self.tools, now);
                }
            }
            Order::View(answer) => drop(answer.send(self.view())),
            Order::Stop => {
                self.stopping = true;
                for seat in &mut self.seats {
                    seat.shut_down(&mut self.tools, now);
                }
            }
        }
    }

    /// Does something at a virtual router's seat, if there is one.
    fn at(&mut self, id: VirtualRouterId, act: impl FnOnce(&mut Seat, &mut Tools)) {
        let mut seats = self.seats.iter_mut();
        if let Some(seat) = seats.find(|seat| seat.config().id == id) {
            act(seat, &mut self.tools);
        }
    }

    /// Obeys an operator; how it began.
    fn operate(
        &mut self,
        routers: &[VirtualRouterId],
        order: evenkeel_vrrp::Order,
        now: Instant,
    ) -> Vec<(VirtualRouterId, Begun)> {
        let (seats, tools) = (self.seats.iter_mut(), &mut self.tools);
        let meant = seats.filter(|seat| routers.contains(&seat.config().id));
        meant
            .map(|seat| (seat.config().id, seat.order(order, tools, now)))
            .collect()
    }

    fn retire(&mut self, routers: &[VirtualRouterId], addresses: &[IpAddr], now: Instant) {
        for id in routers {
            let mut seats = self.seats.iter();
            if let Some(index) = seats.position(|seat| seat.config().id == *id) {
                let seat = self.seats.swap_remove(index);
                seat.leave(&mut self.tools, now);
            }
        }
        for seat in &mut self.seats {
            seat.retire_addresses(addresses, &mut self.tools, now);
        }
    }

    fn view(&self) -> ThreadView {
        let told = |result: &std::io::Result<()>| result.as_ref().err().map(ToString::to_string);
        ThreadView {
            seats: self.seats.iter().map(Seat::view).collect(),
            lateness: self.lateness.clone(),
            no_real_time: told(&self.realtime.scheduler),
            no_locked_memory: told(&self.realtime.memory),
            lost_news: self.tools.lost_news,
        }
    }

    fn is_resting(&mut self) -> bool {
        let rests = self.rest_until.is_some_and(|until| Instant::now() < until);
        if !rests {
            self.rest_until = None;
        }
        rests
    }

    /// Waits for a packet, an order or the next timer.
    fn wait(&mut self) {
        let rest = self.rest_until;
        let due = self.seats.iter().filter_map(Seat::due).chain(rest).min();
        let now = Instant::now();
        let timeout = due.map(|due| due.saturating_duration_since(now));
        let wake = self.wake.as_fd();
        // Where there are fewer sockets, the wake stands in their place.
        let fd = |socket: usize| self.tools.sockets.get(socket).map_or(wake, AsFd::as_fd);
        let all = [wake, fd(0), fd(1)];
        let fds = if rest.is_some() { &all[..1] } else { &all };
        if wait_readable(fds, timeout).is_err() {
            // Never seen; a short rest keeps it from taking a processor.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
