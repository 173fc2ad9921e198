//! The key that directors share, and what is derived from it.
//!
//! A session's keys come from the shared key, from the epochs of both directors and from their names, in the order of
//! the direction: no two sessions and no two directions have one key, so that counters may begin at 0 in each.

use std::fmt;

use evenkeel_wire::sync::Epoch;

/// Bytes of the shortest secret: a password of that length is no good one, 32 random bytes are.
const SECRET_LEN_MIN: usize = 16;

/// A key that directors share.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: [u8; 4],
    signing: [u8; 32],
    root: [u8; 32],
}

/// A secret that is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key has {0} bytes, expected {SECRET_LEN_MIN} or more: use 32 random ones")]
pub struct KeyError(pub usize);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:02x?})", self.id)
    }
}

impl Key {
    /// Makes a key of a secret.
    ///
    /// # Errors
    /// [`KeyError`] if it has fewer than 16 bytes.
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_LEN_MIN {
            return Err(KeyError(secret.len()));
        }
        let of = |purpose| blake3::derive_key(purpose, secret);
        let [i0, i1, i2, i3, ..] = of("evenkeel 2026 connection sync 1: key id");
        Ok(Self {
            id: [i0, i1, i2, i3],
            signing: of("evenkeel 2026 connection sync 1: greetings"),
            root: of("evenkeel 2026 connection sync 1: root of sessions"),
        })
    }

    /// Tells keys apart, and nothing else.
    pub(crate) const fn id(&self) -> [u8; 4] {
        self.id
    }

    pub(crate) fn sign(&self, greeting: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.signing, greeting).as_bytes()
    }

    /// Compares in constant time.
    pub(crate) fn has_signed(&self, greeting: &[u8], signature: &[u8; 32]) -> bool {
        blake3::keyed_hash(&self.signing, greeting) == *signature
    }

    /// Key and number of what `sender` sends to `receiver`.
    pub(crate) fn derive(&self, sender: End<'_>, receiver: End<'_>) -> ([u8; 32], u32) {
        let mut hasher = blake3::Hasher::new_derive_key("evenkeel 2026 connection sync 1: session");
        hasher.update(&self.root);
        for end in [sender, receiver] {
            hasher.update(&end.epoch);
            hasher.update(&(end.name.len() as u64).to_be_bytes());
            hasher.update(end.name.as_bytes());
        }
        let (mut key, mut number) = ([0; 32], [0; 4]);
        let mut stream = hasher.finalize_xof();
        stream.fill(&mut key);
        stream.fill(&mut number);
        (key, u32::from_be_bytes(number))
    }
}

/// One end of a session.
#[derive(Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) name: &'a str,
    pub(crate) epoch: Epoch,
}

/// Draws epochs from the random bytes that a session was made with.
pub(crate) struct Epochs {
    seed: [u8; 32],
    drawn: u64,
}

impl fmt::Debug for Epochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epochs({})", self.drawn)
    }
}

impl Epochs {
    pub(crate) const fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    /// One that was never drawn before.
    pub(crate) fn draw(&mut self) -> Epoch {
        self.drawn += 1;
        let drawn = blake3::keyed_hash(&self.seed, &self.drawn.to_be_bytes());
        let mut epoch = Epoch::default();
        epoch.copy_from_slice(&drawn.as_bytes()[..16]);
        // All zeros mean that there is none.
        if epoch == Epoch::default() {
            epoch[0] = 1;
        }
        epoch
    }
}
