//! Sets of virtual routers.

/// A set of virtual routers' numbers, 1 to 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Routers([u64; 4]);

impl Routers {
    /// No virtual router.
    pub const NONE: Self = Self([0; 4]);

    const fn place(id: u8) -> (usize, u64) {
        ((id >> 6) as usize, 1 << (id & 63))
    }

    /// Adds a virtual router; 0 is none.
    pub const fn insert(&mut self, id: u8) {
        let (word, bit) = Self::place(id);
        if id != 0 {
            self.0[word] |= bit;
        }
    }

    /// Takes a virtual router out.
    pub const fn remove(&mut self, id: u8) {
        let (word, bit) = Self::place(id);
        self.0[word] &= !bit;
    }

    /// Those that are not in the other set.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a & !e, b & !f, c & !g, d & !h])
    }

    /// Whether the virtual router is in the set.
    #[must_use]
    pub const fn contains(&self, id: u8) -> bool {
        let (word, bit) = Self::place(id);
        self.0[word] & bit != 0
    }

    /// The numbers, in rising order.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        (1..=u8::MAX).filter(|id| self.contains(*id))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u8 {
        let count: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        // 0 is never in it.
        u8::try_from(count).unwrap_or(u8::MAX)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self.0, [0, 0, 0, 0])
    }
}

impl FromIterator<u8> for Routers {
    fn from_iter<I: IntoIterator<Item = u8>>(ids: I) -> Self {
        let mut routers = Self::NONE;
        ids.into_iter().for_each(|id| routers.insert(id));
        routers
    }
}
