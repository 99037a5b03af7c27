//! Names: who has which addresses, without a protocol that asks.

use core::net::IpAddr;
use std::collections::{BTreeMap, btree_map};
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

#[derive(Debug)]
enum Entry {
    /// The name of a node with one address.
    Node {
        number: u32,
        own: IpAddr,
    },
    Other(Box<Listed>),
}

#[derive(Debug, Default)]
struct Listed {
    /// The node of this name.
    node: Option<u32>,
    /// Its addresses.
    own: Box<[IpAddr]>,
    /// What the scenario has said instead.
    set: Option<Box<[IpAddr]>>,
}

impl Entry {
    fn addresses(&self) -> &[IpAddr] {
        match self {
            Self::Node { own, .. } => core::slice::from_ref(own),
            Self::Other(listed) => listed.set.as_ref().unwrap_or(&listed.own),
        }
    }

    fn node(&self) -> Option<u32> {
        match self {
            Self::Node { number, .. } => Some(*number),
            Self::Other(listed) => listed.node,
        }
    }

    /// The same, such that everything about it can be changed.
    fn listed(&mut self) -> &mut Listed {
        if let Self::Node { number, own } = *self {
            *self = Self::Other(Box::new(Listed {
                node: Some(number),
                own: Box::new([own]),
                set: None,
            }));
        }
        match self {
            Self::Other(listed) => listed,
            Self::Node { .. } => unreachable!("just changed"),
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

    /// The node of this name.
    pub(crate) fn node(&self, name: &str) -> Option<u32> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.get(name)?.node()
    }

    pub(crate) fn set(&self, name: &str, addresses: Option<Vec<IpAddr>>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let entry = table.entry(name.into());
        let entry = entry.or_insert_with(|| Entry::Other(Box::default()));
        entry.listed().set = addresses.map(Vec::into_boxed_slice);
    }

    /// Says what a node has for addresses.
    pub(crate) fn set_own(&self, name: Arc<str>, number: u32, addresses: &[IpAddr]) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        match (table.entry(name), addresses) {
            (btree_map::Entry::Vacant(place), &[own]) => {
                place.insert(Entry::Node { number, own });
            }
            (place, _) => {
                let entry = place.or_insert_with(|| Entry::Other(Box::default()));
                let listed = entry.listed();
                listed.node = Some(number);
                listed.own = addresses.into();
            }
        }
    }
}
