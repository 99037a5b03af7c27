//! Who of several that share a port gets what comes, where they are steered: what the kernel does
//! by a program (`SO_ATTACH_REUSEPORT_CBPF`), done here by the same rules.

use stillpoint::Sharing;

use super::{Bound, Host};

/// The place of whom something is for, of so many that share a port, which came by this flow.
/// `None`: nobody has the place that it names, so it goes by flow.
pub(crate) fn place(sharing: Sharing, flow: u64, payload: &[u8], count: usize) -> Option<usize> {
    let place = match sharing {
        // A flow is received by one processor, as network cards have it.
        Sharing::ByCpu { sockets } => flow.checked_rem(u64::from(sockets))?,
        Sharing::ByByte { offset, sockets } => {
            let byte = *payload.get(usize::from(offset))?;
            u64::from(byte).checked_rem(u64::from(sockets))?
        }
        // By flow.
        Sharing::Exclusive | Sharing::Shared | _ => return None,
    };
    let place = usize::try_from(place).ok()?;
    (place < count).then_some(place)
}

/// Whether places matter to those who share a port.
pub(crate) const fn is_steered(sharing: Sharing) -> bool {
    !matches!(sharing, Sharing::Exclusive | Sharing::Shared)
}

impl Bound {
    /// Whether others may have its port, and who of them gets what comes.
    pub(super) fn sharing(&self) -> Sharing {
        let steering = self.special.as_ref().and_then(|special| special.steering);
        match steering {
            Some(steering) => steering,
            None if self.shares => Sharing::Shared,
            None => Sharing::Exclusive,
        }
    }

    fn steer(&mut self, sharing: Sharing) {
        if is_steered(sharing) {
            self.special.get_or_insert_default().steering = Some(sharing);
        }
    }
}

impl Host {
    /// Those who share address and port with `one`, in the order of their places.
    fn sharers(&self, one: &Bound) -> Vec<usize> {
        let all = self.bound.iter().enumerate();
        let shares =
            |other: &Bound| (other.local, other.domain) == (one.local, one.domain) && other.shares;
        all.filter(|(_, other)| shares(other))
            .map(|(index, _)| index)
            .collect()
    }

    /// Has all who share a port with a new socket be steered as it asks, or it as they are.
    pub(super) fn steer(&mut self, new: &mut Bound, sharing: Sharing) {
        if !new.shares {
            return;
        }
        let sharers = self.sharers(new);
        if is_steered(sharing) {
            new.steer(sharing);
            for index in sharers {
                self.bound[index].steer(sharing);
            }
        } else if let Some(&first) = sharers.first() {
            new.steer(self.bound[first].sharing());
        }
    }

    /// Gives the place that a socket has left to the last of those who shared its port, if places
    /// matter to them.
    pub(super) fn move_up(&mut self, place: usize, left: &Bound) {
        if !is_steered(left.sharing()) {
            return;
        }
        if let Some(&last) = self.sharers(left).last()
            && last > place
        {
            let moved = self.bound.remove(last);
            self.bound.insert(place, moved);
        }
    }
}
