//! What a scenario says of the links between nodes: how they behave, and which are cut or clogged.

use core::time::Duration;

use stillpoint::App;

use super::World;
use crate::link::Link;
use crate::node::NodeId;

impl<A: App> World<A> {
    /// Sets how links behave that have not been set on their own.
    ///
    /// # Panics
    ///
    /// If the link makes no sense: a chance is not from 0 to 1, say, the latency is an empty range or
    /// beyond a day, or it reorders by nothing. The message says what.
    pub fn default_link(&mut self, link: &Link) {
        let now = self.outside.now;
        self.outside.keep_lines();
        self.outside.network.links.set_default(link, now);
    }

    /// Sets both links between `a` and `b`; at any time, and for what is sent from then on. A node's
    /// link to itself, which has no latency to speak of, can be set too.
    ///
    /// # Panics
    ///
    /// As [`World::default_link`], or if a node is not of this world.
    pub fn link(&mut self, a: NodeId, b: NodeId, link: &Link) {
        self.one_way(a, b, link);
        self.one_way(b, a, link);
    }

    /// Sets the link from one node to another.
    ///
    /// # Panics
    ///
    /// As [`World::link`].
    pub fn one_way(&mut self, from: NodeId, to: NodeId, link: &Link) {
        let (from, to) = (self.known(from), self.known(to));
        self.outside.keep_lines();
        let links = &mut self.outside.network.links;
        links.set(from.number(), to.number(), link, self.outside.now);
    }

    /// Cuts the way from one node to another: from now on whatever is sent that way is dropped and
    /// counted ([`DropCause::Partition`](crate::DropCause::Partition)), and nobody is told. What is
    /// on its way already still arrives, and the way back stays as it is.
    ///
    /// A cut is apart from the [`Link`]: it stays when the link is set anew.
    ///
    /// # Panics
    ///
    /// As [`World::link`].
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        let (from, to) = (self.known(from).number(), self.known(to).number());
        self.note_fault();
        self.outside.network.links.cut(from, to);
    }

    /// Cuts every way between a node of one side and a node of the other, in both directions.
    /// A node that is on both sides stays in touch with itself.
    ///
    /// # Panics
    ///
    /// As [`World::link`].
    pub fn partition(&mut self, one: &[NodeId], other: &[NodeId]) {
        for (&a, &b) in one
            .iter()
            .flat_map(|a| other.iter().map(move |b| (a, b)))
            .filter(|(a, b)| a != b)
        {
            self.cut(a, b);
            self.cut(b, a);
        }
    }

    /// Holds back what is sent from one node to another, for this long from now on. Then all of it
    /// goes on its way, in the order in which it was sent. What is on its way already arrives as it
    /// would. At most 65,536 datagrams, segments and packets are held back; more are dropped and
    /// counted ([`DropCause::LinkQueueFull`](crate::DropCause::LinkQueueFull)).
    ///
    /// A clog that is there already lasts until the later of both ends.
    ///
    /// # Panics
    ///
    /// As [`World::link`].
    pub fn clog(&mut self, from: NodeId, to: NodeId, duration: Duration) {
        let (from, to) = (self.known(from).number(), self.known(to).number());
        let until = self.outside.now.after(duration);
        self.note_fault();
        self.outside.disturbed_until(until);
        self.outside.clog(from, to, until);
    }

    /// Ends the cut of the way from one node to another, and its clog: what was held back goes on
    /// its way now.
    ///
    /// # Panics
    ///
    /// As [`World::link`].
    pub fn mend(&mut self, from: NodeId, to: NodeId) {
        let (from, to) = (self.known(from).number(), self.known(to).number());
        self.note_fault();
        self.outside.network.links.unbar((from, to));
        self.outside.release(from, to);
    }

    /// Ends all cuts and clogs. How links behave ([`World::link`]) stays as it is.
    pub fn heal_links(&mut self) {
        self.note_fault();
        for (from, to) in self.outside.network.links.barred() {
            self.outside.network.links.unbar((from, to));
            self.outside.release(from, to);
        }
    }
}
