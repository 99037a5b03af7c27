//! Names: who has which addresses, without a protocol that asks.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The names of a world, to look addresses up: see [`World::names`](crate::World::names).
///
/// Cheap to clone, and made for tasks: hand it to them through their spawner, or in what they are
/// spawned from. Every node is there under its own name, with the addresses that it has at that
/// moment; further names are those that the scenario has set. There is one table for all nodes:
/// what is found under the name of a node behind a NAT are its addresses there.
///
/// In production, a task is given addresses by whatever resolves names there; this stands for it.
///
/// # Example
///
/// ```
/// use core::net::IpAddr;
/// use stillpoint::*;
/// use stillpoint_sim::World;
///
/// # #[derive(Debug)]
/// # struct Nothing;
/// # impl App for Nothing {
/// #     type Channel = ();
/// #     type Message = ();
/// #     type Command = ();
/// #     type Report = ();
/// #     type Spawn = ();
/// # }
/// let mut world = World::<Nothing>::new(1);
/// let names = world.names();
/// world.node("server", [10, 0, 0, 1]).spawner(|(), spawner| spawner.refuse("no task"));
/// world.set_name("api.example", [IpAddr::from([10, 0, 0, 1])]);
/// assert_eq!(names.lookup("api.example"), names.lookup("server"));
/// assert!(names.lookup("nobody").is_empty());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Names {
    table: Arc<RwLock<BTreeMap<Arc<str>, Entry>>>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Those of the node of this name.
    own: Own,
    /// What the scenario has said instead.
    set: Option<Box<[IpAddr]>>,
}

/// Addresses, of which most have one.
#[derive(Debug)]
enum Own {
    One(IpAddr),
    Some(Box<[IpAddr]>),
}

impl Default for Own {
    fn default() -> Self {
        Self::Some(Box::default())
    }
}

impl Entry {
    fn addresses(&self) -> &[IpAddr] {
        match (&self.set, &self.own) {
            (Some(set), _) => set,
            (None, Own::One(only)) => core::slice::from_ref(only),
            (None, Own::Some(own)) => own,
        }
    }
}

impl Names {
    /// The addresses of a name, those first that are to be tried first; none if nobody has it.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Vec<IpAddr> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let entry = table.get(name);
        entry.map_or_else(Vec::new, |entry| entry.addresses().to_vec())
    }

    /// The names that have an address, in alphabetical order.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let known = table
            .iter()
            .filter(|(_, entry)| !entry.addresses().is_empty());
        known.map(|(name, _)| name.to_string()).collect()
    }

    pub(crate) fn set(&self, name: &str, addresses: Option<Vec<IpAddr>>) {
        self.change(name.into(), |entry| {
            entry.set = addresses.map(Vec::into_boxed_slice)
        });
    }

    pub(crate) fn set_own(&self, name: Arc<str>, addresses: Vec<IpAddr>) {
        self.change(name, |entry| {
            entry.own = match addresses[..] {
                [only] => Own::One(only),
                _ => Own::Some(addresses.into()),
            };
        });
    }

    fn change(&self, name: Arc<str>, change: impl FnOnce(&mut Entry)) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        change(table.entry(name).or_default());
    }
}
