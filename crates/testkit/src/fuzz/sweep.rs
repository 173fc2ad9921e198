//! User space's sweep, in the simplest way.

use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{FlowKey, Word};
use evenkeel_datapath::table::weigh;

use crate::tables::NativeTables;

impl NativeTables {
    /// Takes out what has expired; the keys of what stood in the established table.
    pub fn sweep(&self) -> Vec<FlowKey> {
        let mut taken = Vec::new();
        let now = self.now.load(SeqCst);
        let is_over = |word: Word| word.is_live() && word.expiry().0 <= now;
        for conn in self.conns.iter().flat_map(|bucket| &bucket.ways) {
            let word = Word(conn.word.load(SeqCst));
            if is_over(word) {
                conn.word.store(Word::FREE.0, SeqCst);
                self.uncount(word);
                self.state.established.fetch_sub(1, SeqCst);
                let unassured = u64::from(word.is_unassured());
                self.state.unassured.fetch_sub(unassured, SeqCst);
                taken.push(FlowKey {
                    addresses: conn.addresses.load(SeqCst),
                    ports_protocol: conn.ports_protocol.load(SeqCst),
                });
            }
        }
        for conn in self.buckets.iter().flat_map(|bucket| &bucket.ways) {
            let word = Word(conn.word.load(SeqCst));
            if is_over(word) {
                conn.word.store(Word::FREE.0, SeqCst);
                self.uncount(word);
                self.state.half_open.fetch_sub(1, SeqCst);
            }
        }
        taken
    }

    fn uncount(&self, word: Word) {
        let load = &self.loads[word.server() as usize];
        let count = if word.is_template() != 0 {
            &load.persistent
        } else if word.is_active() {
            &load.active
        } else {
            &load.inactive
        };
        count.fetch_sub(1, SeqCst);
        weigh(load);
    }
}
