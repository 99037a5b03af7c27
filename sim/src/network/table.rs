//! Who has which IPv4 address: looked up for each datagram, so in one row of memory.

use stillpoint::InterfaceIndex;

/// Whose an address is, and at which of its interfaces.
type Owner = (u32, InterfaceIndex);

/// A hash table with open addresses: what is not in its own place is in the next free one. It is
/// never gone through, so the order of its places does not show.
#[derive(Debug, Default)]
pub(super) struct Ipv4Table {
    /// A power of two of places, at most two thirds of them taken; or none.
    places: Vec<Option<(u32, Owner)>>,
    len: usize,
}

impl Ipv4Table {
    #[inline(always)]
    pub(super) fn get(&self, ip: &u32) -> Option<&Owner> {
        if self.places.is_empty() {
            return None;
        }
        let mut place = self.home(*ip);
        while let Some((there, owner)) = &self.places[place] {
            if there == ip {
                return Some(owner);
            }
            place = self.next(place);
        }
        None
    }

    /// Puts an owner in, and gives the one before.
    pub(super) fn insert(&mut self, ip: u32, owner: Owner) -> Option<Owner> {
        if 3 * (self.len + 1) > 2 * self.places.len() {
            self.grow();
        }
        let mut place = self.home(ip);
        while let Some((there, before)) = &mut self.places[place] {
            if *there == ip {
                return Some(core::mem::replace(before, owner));
            }
            place = self.next(place);
        }
        self.places[place] = Some((ip, owner));
        self.len += 1;
        None
    }

    /// Takes an owner out. Those behind it move up, so that none is cut off from its own place.
    pub(super) fn remove(&mut self, ip: u32) -> Option<Owner> {
        self.get(&ip)?;
        let mut free = self.home(ip);
        while self.places[free].is_some_and(|(there, _)| there != ip) {
            free = self.next(free);
        }
        let (_, owner) = self.places[free].take()?;
        self.len -= 1;
        let mut place = self.next(free);
        while let Some((there, _)) = self.places[place] {
            let mask = self.places.len() - 1;
            let (from_home, from_free) = (
                place.wrapping_sub(self.home(there)) & mask,
                place.wrapping_sub(free) & mask,
            );
            if from_home >= from_free {
                self.places[free] = self.places[place].take();
                free = place;
            }
            place = self.next(place);
        }
        Some(owner)
    }

    fn grow(&mut self) {
        let places = (2 * self.places.len()).max(8);
        let before = core::mem::replace(&mut self.places, vec![None; places]);
        self.len = 0;
        for (ip, owner) in before.into_iter().flatten() {
            self.insert(ip, owner);
        }
    }

    /// Where an address is, unless others were there before.
    #[inline]
    fn home(&self, ip: u32) -> usize {
        // Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, 6.4): addresses in
        // a row are spread out.
        let spread = u64::from(ip).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        spread as usize & (self.places.len() - 1)
    }

    #[inline]
    fn next(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::FIRST;

    #[test]
    fn every_address_is_found_and_no_other() {
        let mut table = Ipv4Table::default();
        assert_eq!(table.get(&7), None);
        // In a row, and far apart in a way that brings many of them to one place.
        let ips = |number: u32| [number, number << 20];
        for number in 1..1_000 {
            for ip in ips(number) {
                assert_eq!(table.insert(ip, (9, FIRST)), None);
                assert_eq!(table.insert(ip, (number, FIRST)), Some((9, FIRST)));
            }
        }
        for number in 1..1_000 {
            for ip in ips(number) {
                assert_eq!(table.get(&ip), Some(&(number, FIRST)), "{ip}");
            }
        }
        assert_eq!(table.get(&1_000), None);
        for number in 1..500 {
            for ip in ips(number) {
                assert_eq!(table.remove(ip), Some((number, FIRST)));
                assert_eq!(table.remove(ip), None);
            }
            for number in number + 1..1_000 {
                for ip in ips(number) {
                    assert_eq!(table.get(&ip), Some(&(number, FIRST)), "{ip}");
                }
            }
        }
        assert_eq!(table.len, 2 * 500);
    }
}
