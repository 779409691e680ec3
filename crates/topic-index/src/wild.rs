//! Filters with wildcards: a trie over their levels.
//!
//! A *leaf* is one filter. It hangs where the filter stops sharing levels with any other and keeps the rest of its
//! text unsplit, so that a million filters with a level of their own cost a million leaves and hardly any nodes. A
//! *node* stands for a sequence of levels that several filters begin with.
//!
//! The children of all nodes under literal levels are in one hash table, keyed by (parent, level): a node itself is a
//! few fixed fields, whether it has one child or a million. The child under `+` and the filters that end at a node, as
//! such or with `#`, have a field each.

use crate::arena::Arena;
use crate::frontier::Frontier;
use crate::handles::{HandleTable, Secret};
use crate::matching::{levels_match, split_level};
use crate::text::Text;

/// The node of no levels, always there and never counted.
const ROOT: u32 = 0;

/// Nodes that a walk takes down at a time.
const GROUP_LEN: usize = 16;

/// Filter to value, for filters that hold a wildcard.
pub(crate) struct WildTrie<T> {
    /// Empty as long as there is no filter.
    nodes: Arena<Node>,
    leaves: Arena<Leaf<T>>,
    /// Every child that is under a literal level.
    literals: HandleTable,
}

struct Node {
    parent: u32,
    /// The child for `+`.
    plus: Link,
    /// The filter that ends here.
    here: Link,
    /// The filter that goes on with `#`.
    rest: Link,
    /// Children under literal levels, and the exclusive or of their links: when one is left, that is its link.
    literal_count: u32,
    literal_sum: u32,
    level: Text,
}

struct Leaf<T> {
    parent: u32,
    /// What the filter has below `parent`: nothing if it ends there.
    text: Text,
    value: T,
}

/// The handle of a node or of a leaf, or nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Link(u32);

#[derive(Clone, Copy)]
enum Child {
    Node(u32),
    Leaf(u32),
}

/// How a child hangs on its node.
enum Branch<'a> {
    Here,
    Rest,
    Plus,
    Literal(&'a [u8]),
}

impl<T> WildTrie<T> {
    pub(crate) const fn new() -> Self {
        Self { nodes: Arena::new(), leaves: Arena::new(), literals: HandleTable::new() }
    }

    pub(crate) const fn len(&self) -> usize {
        self.leaves.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.leaves.len() == 0
    }

    pub(crate) const fn node_count(&self) -> usize {
        self.nodes.len().saturating_sub(1)
    }

    /// Slots held in the arenas and in the table.
    pub(crate) fn capacity(&self) -> usize {
        self.nodes.capacity() + self.leaves.capacity() + self.literals.capacity()
    }

    pub(crate) fn value(&self, leaf: u32) -> &T {
        &self.leaves.get(leaf).value
    }

    pub(crate) fn value_mut(&mut self, leaf: u32) -> &mut T {
        &mut self.leaves.get_mut(leaf).value
    }

    /// The leaf of exactly this filter.
    pub(crate) fn find(&self, secret: &Secret, filter: &[u8]) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let (mut node, mut text) = (ROOT, Some(filter));
        loop {
            match self.child(secret, node, &Branch::of(text))? {
                Child::Leaf(leaf) => {
                    return (self.leaves.get(leaf).text.bytes() == text.unwrap_or_default()).then_some(leaf);
                }
                Child::Node(child) => node = child,
            }
            text = text.and_then(|text| split_level(text).1);
        }
    }

    /// Adds a filter that is not in the trie, and returns its leaf.
    pub(crate) fn insert(&mut self, secret: &Secret, filter: &[u8], value: T) -> u32 {
        if self.is_empty() {
            self.nodes.insert(Node::new(ROOT, b""));
        }
        let (mut node, mut text) = (ROOT, Some(filter));
        loop {
            match self.child(secret, node, &Branch::of(text)) {
                None => break,
                Some(Child::Node(child)) => {
                    node = child;
                    text = text.and_then(|text| split_level(text).1);
                }
                Some(Child::Leaf(other)) => {
                    (node, text) = self.grow_nodes(secret, node, text.unwrap_or_default(), other);
                    break;
                }
            }
        }
        let leaf = self.leaves.insert(Leaf { parent: node, text: Text::new(text.unwrap_or_default()), value });
        self.attach(secret, node, &Branch::of(text), Link::leaf(leaf));
        leaf
    }

    pub(crate) fn remove(&mut self, secret: &Secret, filter: &[u8]) -> Option<T> {
        let handle = self.find(secret, filter)?;
        self.detach_leaf(secret, handle);
        let leaf = self.leaves.remove(handle);
        if self.is_empty() {
            *self = Self::new();
        } else {
            self.fold_nodes(secret, leaf.parent);
        }
        Some(leaf.value)
    }

    /// Visits the value of every filter that matches the topic.
    ///
    /// Goes down level by level with all nodes that the topic has reached so far: neither the depth of the topic nor
    /// the number of ways through the trie can exhaust a stack, and the look-ups of one level, being independent of each
    /// other, overlap their cache misses.
    pub(crate) fn for_each_match<'a>(
        &'a self,
        secret: &Secret,
        topic: &[u8],
        hidden: bool,
        mut visit: impl FnMut(&'a T),
    ) {
        let mut reached = Frontier::of(ROOT);
        let mut next = Frontier::new();
        let mut wildcards = !hidden;
        let mut below = Some(topic);
        while let Some(topic) = below
            && !reached.is_empty()
        {
            let (level, rest) = split_level(topic);
            let level_hash = secret.hash(level);
            for group in reached.as_slice().chunks(GROUP_LEN) {
                self.step(secret, group, (level, level_hash), topic, wildcards, &mut next, &mut visit);
            }
            reached.clear();
            std::mem::swap(&mut reached, &mut next);
            wildcards = true;
            below = rest;
        }
        for &handle in reached.as_slice() {
            let node = self.nodes.get(handle);
            self.visit_leaf(node.here, &mut visit);
            self.visit_leaf(node.rest, &mut visit);
        }
    }

    /// Visits every filter with its value.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&[u8], &T)) {
        let (mut path, mut filter) = (Vec::new(), Vec::new());
        for (handle, leaf) in self.leaves.iter() {
            let mut node = leaf.parent;
            while node != ROOT {
                path.push(node);
                node = self.nodes.get(node).parent;
            }
            while let Some(node) = path.pop() {
                push_level(&mut filter, self.nodes.get(node).level.bytes());
            }
            if self.nodes.get(leaf.parent).here == Link::leaf(handle) {
                filter.pop();
            } else {
                filter.extend_from_slice(leaf.text.bytes());
            }
            visit(&filter, &leaf.value);
            filter.clear();
        }
    }

    /// Takes some nodes down one level.
    ///
    /// In three passes, so that the cache misses of the nodes overlap, which do not depend on each other: where may the
    /// children be, which may they be, and what follows.
    #[allow(clippy::too_many_arguments, reason = "the body of a loop")]
    #[inline]
    fn step<'a>(
        &'a self,
        secret: &Secret,
        group: &[u32],
        (level, level_hash): (&[u8], u64),
        topic: &[u8],
        wildcards: bool,
        next: &mut Frontier,
        visit: &mut impl FnMut(&'a T),
    ) {
        let mut hashes = [0; GROUP_LEN];
        for (&handle, hash) in group.iter().zip(&mut hashes) {
            let node = self.nodes.get(handle);
            if node.literal_count > 0 {
                *hash = secret.hash_edge(handle, level_hash);
                self.literals.prefetch(*hash);
            }
            if wildcards {
                self.prefetch(node.rest);
                self.prefetch(node.plus);
            }
        }
        let mut candidates = [Link::NONE; GROUP_LEN];
        for ((&handle, &hash), candidate) in group.iter().zip(&hashes).zip(&mut candidates) {
            if self.nodes.get(handle).literal_count > 0 {
                *candidate = Link(self.literals.candidate(hash).unwrap_or_default());
                self.prefetch(*candidate);
            }
        }
        for ((&handle, &hash), &candidate) in group.iter().zip(&hashes).zip(&candidates) {
            let node = self.nodes.get(handle);
            if wildcards {
                self.visit_leaf(node.rest, visit);
                self.follow(node.plus.child(), topic, next, visit);
            }
            if candidate == Link::NONE {
                continue;
            }
            if self.is_literal(candidate, handle, level) {
                self.follow(candidate.child(), topic, next, visit);
            } else {
                self.follow(self.literal(hash, handle, level), topic, next, visit);
            }
        }
    }

    #[inline]
    fn follow<'a>(&'a self, child: Option<Child>, topic: &[u8], next: &mut Frontier, visit: &mut impl FnMut(&'a T)) {
        match child {
            Some(Child::Node(node)) => next.push(node),
            Some(Child::Leaf(leaf)) => {
                let leaf = self.leaves.get(leaf);
                if levels_match(leaf.text.bytes(), topic) {
                    visit(&leaf.value);
                }
            }
            None => {}
        }
    }

    #[inline]
    fn visit_leaf<'a>(&'a self, link: Link, visit: &mut impl FnMut(&'a T)) {
        if let Some(Child::Leaf(leaf)) = link.child() {
            visit(&self.leaves.get(leaf).value);
        }
    }

    fn child(&self, secret: &Secret, parent: u32, branch: &Branch<'_>) -> Option<Child> {
        let node = self.nodes.get(parent);
        match branch {
            Branch::Here => node.here.child(),
            Branch::Rest => node.rest.child(),
            Branch::Plus => node.plus.child(),
            Branch::Literal(level) => self.literal(secret.hash_edge(parent, secret.hash(level)), parent, level),
        }
    }

    #[inline]
    fn literal(&self, hash: u64, parent: u32, level: &[u8]) -> Option<Child> {
        let found = self.literals.find(hash, |link| self.is_literal(Link(link), parent, level));
        found.and_then(|link| Link(link).child())
    }

    /// Whether a child is that of this parent and level.
    #[inline]
    fn is_literal(&self, link: Link, parent: u32, level: &[u8]) -> bool {
        match link.child() {
            Some(Child::Node(node)) => {
                let node = self.nodes.get(node);
                node.parent == parent && node.level.bytes() == level
            }
            Some(Child::Leaf(leaf)) => {
                let leaf = self.leaves.get(leaf);
                leaf.parent == parent && begins_with_level(leaf.text.bytes(), level)
            }
            None => false,
        }
    }

    #[inline]
    fn prefetch(&self, link: Link) {
        match link.child() {
            Some(Child::Node(node)) => self.nodes.prefetch(node),
            Some(Child::Leaf(leaf)) => self.leaves.prefetch(leaf),
            None => {}
        }
    }

    fn attach(&mut self, secret: &Secret, parent: u32, branch: &Branch<'_>, link: Link) {
        let node = self.nodes.get_mut(parent);
        match branch {
            Branch::Here => node.here = link,
            Branch::Rest => node.rest = link,
            Branch::Plus => node.plus = link,
            Branch::Literal(level) => {
                node.literal_count += 1;
                node.literal_sum ^= link.0;
                self.literals.insert(secret.hash_edge(parent, secret.hash(level)), link.0);
            }
        }
    }

    fn detach(&mut self, secret: &Secret, parent: u32, branch: &Branch<'_>, link: Link) {
        let node = self.nodes.get_mut(parent);
        match branch {
            Branch::Here => node.here = Link::NONE,
            Branch::Rest => node.rest = Link::NONE,
            Branch::Plus => node.plus = Link::NONE,
            Branch::Literal(level) => {
                node.literal_count -= 1;
                node.literal_sum ^= link.0;
                self.literals.remove(secret.hash_edge(parent, secret.hash(level)), link.0);
            }
        }
    }

    fn detach_leaf(&mut self, secret: &Secret, handle: u32) {
        let Leaf { parent, text, .. } = self.leaves.get(handle);
        let (parent, text) = (*parent, text.clone());
        let ends_here = self.nodes.get(parent).here == Link::leaf(handle);
        self.detach(secret, parent, &Branch::of((!ends_here).then(|| text.bytes())), Link::leaf(handle));
    }

    /// Makes nodes under `parent` for the levels that `text` shares with the leaf `other`, which hangs there, and moves
    /// that leaf below them. Returns the last node and what remains of `text` below it.
    fn grow_nodes<'a>(&mut self, secret: &Secret, parent: u32, text: &'a [u8], other: u32) -> (u32, Option<&'a [u8]>) {
        self.detach_leaf(secret, other);
        let other_text = self.leaves.get(other).text.clone();
        let (mut node, mut mine, mut others) = (parent, Some(text), Some(other_text.bytes()));
        while let (Some(text), Some(other_text)) = (mine, others) {
            let ((level, rest), (other_level, other_rest)) = (split_level(text), split_level(other_text));
            if level != other_level || (level == b"#" && (rest.is_none() || other_rest.is_none())) {
                break;
            }
            let child = self.nodes.insert(Node::new(node, level));
            self.attach(secret, node, &Branch::of_level(level), Link::node(child));
            (node, mine, others) = (child, rest, other_rest);
        }
        let leaf = self.leaves.get_mut(other);
        leaf.parent = node;
        leaf.text = Text::new(others.unwrap_or_default());
        self.attach(secret, node, &Branch::of(others), Link::leaf(other));
        (node, mine)
    }

    /// The reverse of `grow_nodes`: if all that is left below `node` is one leaf, hangs it where the levels above begin
    /// to be shared, and removes the nodes between.
    fn fold_nodes(&mut self, secret: &Secret, mut node: u32) {
        let Some(Child::Leaf(leaf)) = self.only_child(node) else { return };
        if node == ROOT {
            return;
        }
        let mut path = Vec::new();
        let ends_here = self.nodes.get(node).here == Link::leaf(leaf);
        self.detach_leaf(secret, leaf);
        loop {
            path.push(node);
            let Node { parent, level, .. } = self.nodes.get(node);
            let (parent, level) = (*parent, level.clone());
            self.detach(secret, parent, &Branch::of_level(level.bytes()), Link::node(node));
            node = parent;
            if node == ROOT || self.nodes.get(node).child_count() > 0 {
                break;
            }
        }
        let mut text = Vec::new();
        while let Some(node) = path.pop() {
            push_level(&mut text, self.nodes.remove(node).level.bytes());
        }
        if ends_here {
            text.pop();
        }
        let entry = self.leaves.get_mut(leaf);
        text.extend_from_slice(entry.text.bytes());
        entry.parent = node;
        entry.text = Text::new(&text);
        self.attach(secret, node, &Branch::of(Some(&text)), Link::leaf(leaf));
    }

    fn only_child(&self, node: u32) -> Option<Child> {
        let node = self.nodes.get(node);
        if node.child_count() != 1 {
            return None;
        }
        [node.here, node.rest, node.plus, Link(node.literal_sum)].into_iter().find(|link| *link != Link::NONE)?.child()
    }
}

impl Node {
    fn new(parent: u32, level: &[u8]) -> Self {
        let level = Text::new(level);
        let (plus, here, rest) = (Link::NONE, Link::NONE, Link::NONE);
        Self { parent, plus, here, rest, literal_count: 0, literal_sum: Link::NONE.0, level }
    }

    fn child_count(&self) -> usize {
        let links = [self.plus, self.here, self.rest];
        self.literal_count as usize + links.iter().filter(|link| **link != Link::NONE).count()
    }
}

impl Link {
    /// Zero, so that it is neutral in `literal_sum`; it would be the link of the root, which is nobody's child.
    const NONE: Self = Self(0);

    const LEAF_BIT: u32 = 1 << 31;

    const fn node(handle: u32) -> Self {
        Self(handle)
    }

    const fn leaf(handle: u32) -> Self {
        Self(handle | Self::LEAF_BIT)
    }

    #[inline]
    fn child(self) -> Option<Child> {
        if self == Self::NONE {
            None
        } else if self.0 & Self::LEAF_BIT == 0 {
            Some(Child::Node(self.0))
        } else {
            Some(Child::Leaf(self.0 & !Self::LEAF_BIT))
        }
    }
}

impl<'a> Branch<'a> {
    /// The branch on which what remains of a filter hangs.
    fn of(text: Option<&'a [u8]>) -> Self {
        match text {
            None => Self::Here,
            Some(b"#") => Self::Rest,
            Some(text) => Self::of_level(split_level(text).0),
        }
    }

    /// The branch for a level that others follow.
    fn of_level(level: &'a [u8]) -> Self {
        if level == b"+" { Self::Plus } else { Self::Literal(level) }
    }
}

fn begins_with_level(text: &[u8], level: &[u8]) -> bool {
    text.starts_with(level) && text.get(level.len()).is_none_or(|byte| *byte == b'/')
}

fn push_level(text: &mut Vec<u8>, level: &[u8]) {
    text.extend_from_slice(level);
    text.push(b'/');
}
