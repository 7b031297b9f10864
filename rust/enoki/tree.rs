// SPDX-License-Identifier: GPL-2.0

//! An ordered queue of tasks.

use crate::{
    queue::{Links, Node},
    sys,
    token::{Schedulable, Task, TaskName},
};
use core::{cell::Cell, marker::PhantomData};

/// A queue of tasks ordered by a number, the smallest first; those of equal number in the order of
/// their arrival.
///
/// It is a treap: a binary search tree by key that is also a heap by a pseudo-random priority,
/// which keeps it balanced without bookkeeping. Inserting and removing take expected logarithmic
/// time, the first task is found in constant time, and nothing allocates. Tokens that are still in
/// a queue when it is dropped go back to the class.
///
/// # Invariants
///
/// The nodes that can be reached from `root` by `left` and `right` form a tree, whose `parent`
/// links lead back; there are `len` of them, and their `home` is `id`, which no other container
/// has. `first` is the leftmost one.
pub struct TreeQueue<T> {
    id: u64,
    root: Option<Node<T>>,
    first: Option<Node<T>>,
    len: usize,
    seed: u64,
}

/// The link to a child on one side.
type Side<T> = fn(&Links<T>) -> &Cell<Option<Node<T>>>;

#[inline(always)]
fn left<T>(links: &Links<T>) -> &Cell<Option<Node<T>>> {
    &links.left
}

#[inline(always)]
fn right<T>(links: &Links<T>) -> &Cell<Option<Node<T>>> {
    &links.right
}

impl<T> TreeQueue<T> {
    /// An empty queue.
    #[expect(
        clippy::new_without_default,
        reason = "each one has a number of its own"
    )]
    pub fn new() -> TreeQueue<T> {
        TreeQueue {
            id: sys::unique_id(),
            root: None,
            first: None,
            len: 0,
            seed: 0,
        }
    }

    /// The number of tasks in the queue.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no task in the queue.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The smallest key in the queue.
    #[inline]
    pub fn first_key(&self) -> Option<u64> {
        self.first.map(|node| node.links().key.get())
    }

    /// The task with the smallest key.
    #[inline]
    pub fn first(&self) -> Option<&Task<T>> {
        self.iter().next().map(|(_, task)| task)
    }

    /// Puts a task in, behind those of the same key.
    #[inline]
    pub fn insert(&mut self, key: u64, token: Schedulable<T>) {
        let node = token.into_node(self.id);
        let links = node.links();
        links.left.set(None);
        links.right.set(None);
        links.parent.set(None);
        links.key.set(key);
        self.len = self.len.wrapping_add(1);

        if self.root.is_none() {
            self.root = Some(node);
            self.first = Some(node);
            links.priority.set(0);
            return;
        }
        self.link(node, key);
    }

    /// Takes the task with the smallest key, and its key.
    #[inline]
    pub fn pop_first(&mut self) -> Option<(u64, Schedulable<T>)> {
        let node = self.first?;
        let key = node.links().key.get();
        Some((key, self.unlink(node)))
    }

    /// Takes the task of that name, if it is in this queue.
    #[inline]
    pub fn remove(&mut self, name: &TaskName<'_, T>) -> Option<Schedulable<T>> {
        name.in_container(self.id).map(|node| self.unlink(node))
    }

    /// Goes through the keys and tasks, the smallest key first.
    #[inline]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter {
            next: self.first,
            _queue: PhantomData,
        }
    }

    /// Links a node into a tree that is not empty.
    fn link(&mut self, node: Node<T>, key: u64) {
        // A step of splitmix64's finaliser: enough to keep any order of arrival from degenerating.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let priority = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        node.links().priority.set(priority ^ (priority >> 27));

        let (mut parent, mut side, mut leftmost) = (None, left as Side<T>, true);
        let mut next = self.root;
        while let Some(at) = next {
            if key < at.links().key.get() {
                side = left;
            } else {
                side = right;
                leftmost = false;
            }
            parent = next;
            next = side(at.links()).get();
        }
        if let Some(parent) = parent {
            side(parent.links()).set(Some(node));
        }
        node.links().parent.set(parent);
        if leftmost {
            self.first = Some(node);
        }

        while let Some(parent) = node.links().parent.get() {
            if parent.links().priority.get() >= node.links().priority.get() {
                break;
            }
            self.rotate_up(node, parent);
        }
    }

    #[inline]
    fn unlink(&mut self, node: Node<T>) -> Schedulable<T> {
        if self.first == Some(node) {
            self.first = next(node);
        }
        // Down, until one side is empty and the other one can take the node's place.
        let child = loop {
            match (node.links().left.get(), node.links().right.get()) {
                (None, child) | (child, None) => break child,
                (Some(a), Some(b)) => {
                    let up = if a.links().priority.get() > b.links().priority.get() {
                        a
                    } else {
                        b
                    };
                    self.rotate_up(up, node);
                }
            }
        };
        let parent = node.links().parent.get();
        if let Some(child) = child {
            child.links().parent.set(parent);
        }
        self.replace(parent, node, child);
        self.len = self.len.wrapping_sub(1);
        // SAFETY: The node is in this queue, whose `id` it had, and was just unlinked.
        unsafe { Schedulable::from_node(node) }
    }

    /// Makes `new` what `old` is to `parent`.
    #[inline]
    fn replace(&mut self, parent: Option<Node<T>>, old: Node<T>, new: Option<Node<T>>) {
        match parent {
            Some(parent) if parent.links().left.get() == Some(old) => parent.links().left.set(new),
            Some(parent) => parent.links().right.set(new),
            None => self.root = new,
        }
    }

    /// Makes `node`, a child of `parent`, its parent instead; keeps the order.
    fn rotate_up(&mut self, node: Node<T>, parent: Node<T>) {
        let (near, far) = if parent.links().left.get() == Some(node) {
            (left as Side<T>, right as Side<T>)
        } else {
            (right as Side<T>, left as Side<T>)
        };
        let inner = far(node.links()).get();
        near(parent.links()).set(inner);
        if let Some(inner) = inner {
            inner.links().parent.set(Some(parent));
        }
        let above = parent.links().parent.get();
        self.replace(above, parent, Some(node));
        node.links().parent.set(above);
        far(node.links()).set(Some(parent));
        parent.links().parent.set(Some(node));
    }
}

/// The node after `node` in the order of the keys.
#[inline]
fn next<T>(node: Node<T>) -> Option<Node<T>> {
    if let Some(mut at) = node.links().right.get() {
        while let Some(left) = at.links().left.get() {
            at = left;
        }
        return Some(at);
    }
    let mut at = node;
    while let Some(parent) = at.links().parent.get() {
        if parent.links().left.get() == Some(at) {
            return Some(parent);
        }
        at = parent;
    }
    None
}

impl<T> Drop for TreeQueue<T> {
    fn drop(&mut self) {
        while self.pop_first().is_some() {}
    }
}

impl<'a, T> IntoIterator for &'a TreeQueue<T> {
    type Item = (u64, &'a Task<T>);
    type IntoIter = Iter<'a, T>;

    #[inline]
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// Goes through the keys and tasks of a [`TreeQueue`].
pub struct Iter<'a, T> {
    next: Option<Node<T>>,
    _queue: PhantomData<&'a TreeQueue<T>>,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = (u64, &'a Task<T>);

    #[inline]
    fn next(&mut self) -> Option<(u64, &'a Task<T>)> {
        let node = self.next?;
        self.next = next(node);
        // SAFETY: The queue is borrowed for `'a`.
        Some((node.links().key.get(), unsafe { node.task() }))
    }
}
