//! The encrypted channel of one session: keys of both directions, counters, and the window of what has come.

mod replay;

use std::fmt;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _, Nonce, Tag};
use evenkeel_wire::sync::{self, Epoch, SEALED_HEAD_LEN, TAG_LEN};

use self::replay::Window;
use crate::Key;
use crate::key::End;

/// One direction.
struct Lane {
    cipher: ChaCha20Poly1305,
    session: u32,
}

impl Lane {
    fn new(key: &Key, sender: End<'_>, receiver: End<'_>) -> Self {
        let (derived, session) = key.derive(sender, receiver);
        Self {
            cipher: ChaCha20Poly1305::new(&derived.into()),
            session,
        }
    }
}

/// The channel.
pub(crate) struct Link {
    ours: Epoch,
    theirs: Epoch,
    sends: Lane,
    opens: Lane,
    /// Of the next datagram that is sent.
    counter: u64,
    window: Window,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({:#x} at {})", self.sends.session, self.counter)
    }
}

/// Why a datagram was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It came before, or is far older than others that came.
    Replayed,
    /// It was not made with the session's key.
    Forged,
}

/// The nonce of a datagram: its counter, which is used once.
fn nonce(counter: u64) -> Nonce {
    let [c0, c1, c2, c3, c4, c5, c6, c7] = counter.to_be_bytes();
    Nonce::from([0, 0, 0, 0, c0, c1, c2, c3, c4, c5, c6, c7])
}

impl Link {
    pub(crate) fn new(key: &Key, ours: End<'_>, theirs: End<'_>) -> Self {
        Self {
            ours: ours.epoch,
            theirs: theirs.epoch,
            sends: Lane::new(key, ours, theirs),
            opens: Lane::new(key, theirs, ours),
            counter: 0,
            window: Window::new(),
        }
    }

    /// Whether these are the epochs of this session, seen from here.
    pub(crate) fn is_of(&self, ours: Epoch, theirs: Epoch) -> bool {
        self.ours == ours && self.theirs == theirs
    }

    pub(crate) const fn ours(&self) -> Epoch {
        self.ours
    }

    pub(crate) const fn theirs(&self) -> Epoch {
        self.theirs
    }

    /// Whether the other director gives its datagrams this number.
    pub(crate) const fn takes(&self, session: u32) -> bool {
        self.opens.session == session
    }

    /// The counter of the datagram that is sealed next.
    pub(crate) const fn counter(&self) -> u64 {
        self.counter
    }

    /// The highest counter that has come.
    pub(crate) const fn heard(&self) -> u64 {
        self.window.highest()
    }

    /// Encrypts a frame into a datagram.
    pub(crate) fn seal(&mut self, frame: &[u8]) -> Vec<u8> {
        let head = sync::seal_head(self.sends.session, self.counter);
        let mut datagram = Vec::with_capacity(SEALED_HEAD_LEN + frame.len() + TAG_LEN);
        datagram.extend(head);
        datagram.extend(frame);
        let body = InOutBuf::from(&mut datagram[SEALED_HEAD_LEN..]);
        let sealed = self
            .sends
            .cipher
            .encrypt_inout_detached(&nonce(self.counter), &head, body);
        let tag = sealed.expect("a frame is far shorter than what the cipher takes");
        datagram.extend_from_slice(&tag);
        self.counter += 1;
        datagram
    }

    /// Decrypts a datagram's body in place.
    pub(crate) fn open(
        &mut self,
        head: &[u8; SEALED_HEAD_LEN],
        counter: u64,
        body: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Closed> {
        if !self.window.is_new(counter) {
            return Err(Closed::Replayed);
        }
        let cipher = &self.opens.cipher;
        let opened = cipher.decrypt_inout_detached(
            &nonce(counter),
            head,
            InOutBuf::from(body),
            &Tag::from(*tag),
        );
        opened.map_err(|_error| Closed::Forged)?;
        self.window.note(counter);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
