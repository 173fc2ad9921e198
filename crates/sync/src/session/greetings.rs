//! How sessions begin and end.
//!
//! Who has no session greets with a fresh epoch. Whoever hears that answers with a fresh epoch of its own, and the one
//! that it heard. An answer to one's own fresh epoch cannot have been recorded: a session of both epochs is offered, and
//! the answer answered. It becomes the present one when a datagram comes that is sealed with its keys. An epoch that was
//! answered is used up.

use std::time::Duration;

use evenkeel_wire::sync::{Epoch, HELLO_LEN_MAX, Hello, SIGNATURE_LEN, write_hello};

use super::Session;
use crate::key::End;
use crate::link::Link;
use crate::live::Live;
use crate::{Loss, Notice, Output, Rejection};

/// From greeting to greeting of who has no session.
const GREETING: Duration = Duration::from_millis(200);
/// From answer to answer, until the session is confirmed.
const CONFIRMATION: Duration = Duration::from_millis(50);

impl Session {
    pub(super) fn greeted(
        &mut self,
        hello: &Hello<'_>,
        signed: &[u8],
        signature: &[u8; SIGNATURE_LEN],
    ) {
        let peer = || self.config.peer.clone();
        let mut keys = self.config.keys.iter().enumerate();
        let Some((key, known)) = keys.find(|(_, key)| key.id() == hello.key_id) else {
            let notice = Notice::OtherKey { peer: peer() };
            return self.reject(Rejection::Key, Some(notice));
        };
        if !known.has_signed(signed, signature) {
            let notice = Notice::Damaged { peer: peer() };
            return self.reject(Rejection::Forged, Some(notice));
        }
        if hello.sender != self.config.peer || hello.receiver != self.config.name {
            let notice = Notice::OtherNames {
                ours: self.config.name.clone(),
                peer: peer(),
                sender: hello.sender.to_owned(),
                receiver: hello.receiver.to_owned(),
            };
            return self.reject(Rejection::Name, Some(notice));
        }
        let from = hello.from;
        let mut lives = self.current.iter().chain(&self.pending);
        let is_known = lives.any(|live| live.link.theirs() == from);
        match hello.to {
            None if !is_known => self.answer = Some((key, from)),
            Some(to) if to == self.offer => {
                self.offer = self.epochs.draw();
                self.offer_session(key, to, from);
            }
            Some(to) if is_known => self.confirm(key, to, from),
            None | Some(_) => self.reject(Rejection::Stale, None),
        }
    }

    fn offer_session(&mut self, key: usize, ours: Epoch, theirs: Epoch) {
        let ours = End {
            name: &self.config.name,
            epoch: ours,
        };
        let theirs = End {
            name: &self.config.peer,
            epoch: theirs,
        };
        let link = Link::new(&self.config.keys[key], ours, theirs);
        let live = Live::new(link, key, self.heartbeat_interval(), self.base, self.now);
        self.pending = Some(Box::new(live));
        self.greet = self.now;
    }

    /// The peer answers the epochs of a session again: it does not know that they are confirmed. While a key is changed
    /// both may have begun with different ones; that with the greater number is taken.
    fn confirm(&mut self, key: usize, ours: Epoch, theirs: Epoch) {
        let is_it = |live: &&mut Box<Live>| live.link.is_of(ours, theirs);
        if let Some(live) = self.current.as_mut().filter(is_it) {
            live.acknowledge.now = true;
        } else if let Some(live) = self.pending.as_mut().filter(is_it) {
            let id = |key: usize| self.config.keys[key].id();
            if id(key) > id(live.key) {
                self.offer_session(key, ours, theirs);
            }
        } else {
            self.reject(Rejection::Stale, None);
        }
    }

    /// A datagram has come that is sealed with the keys of the session that was offered.
    pub(super) fn begin(&mut self) {
        let Some(mut live) = self.pending.take() else {
            return;
        };
        if self.current.is_some() {
            self.end(Loss::Replaced);
        }
        live.begin(self.now);
        self.current = Some(live);
        self.counters.sessions += 1;
        self.outputs.push_back(Output::WantSnapshot);
    }

    pub(super) fn end(&mut self, loss: Loss) {
        self.current = None;
        self.told.peer = None;
        self.lost = Some((loss, self.now));
        self.greet = self.now;
        self.outputs.push_back(Output::Lost(loss));
    }

    /// Whether there is somebody to greet.
    pub(super) const fn greets(&self) -> bool {
        self.pending.is_some() || self.current.is_none()
    }

    /// The greeting that is due.
    pub(super) fn greeting(&mut self) -> Option<Vec<u8>> {
        if let Some((key, to)) = self.answer.take() {
            return self.sign(key, self.offer, Some(to));
        }
        if !self.greets() || self.greet > self.now {
            return None;
        }
        match &self.pending {
            Some(live) => {
                self.greet = self.now + CONFIRMATION;
                self.sign(live.key, live.link.ours(), Some(live.link.theirs()))
            }
            None => {
                self.greet = self.now + GREETING;
                self.sign(0, self.offer, None)
            }
        }
    }

    fn sign(&self, key: usize, from: Epoch, to: Option<Epoch>) -> Option<Vec<u8>> {
        let key = self.config.keys.get(key)?;
        let hello = Hello {
            key_id: key.id(),
            from,
            to,
            sender: &self.config.name,
            receiver: &self.config.peer,
        };
        let mut datagram = vec![0; HELLO_LEN_MAX];
        let len = write_hello(&hello, &mut datagram)?;
        datagram.truncate(len);
        let signature = key.sign(&datagram);
        datagram.extend(signature);
        Some(datagram)
    }
}
