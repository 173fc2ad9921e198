//! Which of the latest counters have come (RFC 6479's window).

const WORDS: u64 = 16;
/// Counters that may be late and still count: a block of the window is empty beyond the highest one.
const SPAN: u64 = (WORDS - 1) * 64;

/// The window: nothing in it comes twice, and nothing older comes at all.
#[derive(Debug)]
pub(super) struct Window {
    highest: u64,
    bits: [u64; 16],
}

const fn place(counter: u64) -> (usize, u64) {
    let word = counter / 64 % WORDS;
    (word as usize, 1 << (counter % 64))
}

impl Window {
    pub(super) const fn new() -> Self {
        Self {
            highest: 0,
            bits: [0; 16],
        }
    }

    pub(super) const fn highest(&self) -> u64 {
        self.highest
    }

    pub(super) const fn is_new(&self, counter: u64) -> bool {
        if counter > self.highest {
            return true;
        }
        let (word, bit) = place(counter);
        self.highest - counter < SPAN && self.bits[word] & bit == 0
    }

    /// Remembers a counter that is new and whose datagram is known to be genuine.
    pub(super) fn note(&mut self, counter: u64) {
        let steps = (counter / 64).saturating_sub(self.highest / 64);
        for step in 1..=steps.min(WORDS) {
            let (word, _) = place((self.highest / 64).wrapping_add(step).wrapping_mul(64));
            self.bits[word] = 0;
        }
        let (word, bit) = place(counter);
        self.bits[word] |= bit;
        self.highest = self.highest.max(counter);
    }
}

#[cfg(test)]
mod tests;
