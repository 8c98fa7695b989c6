//! Stacks folded: into a call tree, as a flame graph draws it, and into what each function took.

use std::collections::HashMap;

use crate::model::{Profile, Stack};

/// What was spent at some place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Samples, waits, or allocations.
    pub count: u64,
    /// Processor time, or time waited, in nanoseconds; of what was allocated, bytes.
    pub nanos: u64,
}

impl Weight {
    fn add(&mut self, stack: &Stack) {
        self.count += stack.count;
        self.nanos += stack.nanos;
    }
}

/// A function as called from one place: a box in a flame graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// The function's name, an index into [`Profile::strings`]. Of the root, `None`.
    pub function: Option<u32>,
    /// A frame of it, an index into [`Profile::frames`]: the first that was met, for its file and line. Of the root, `None`.
    pub frame: Option<u32>,
    /// There, and in what it called.
    pub total: Weight,
    /// There, and not in what it called.
    pub itself: Weight,
    /// What it called, the most expensive first.
    pub callees: Vec<Node>,
}

/// What a function took, wherever it was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name, an index into [`Profile::strings`].
    pub name: u32,
    /// A frame of it, an index into [`Profile::frames`]: the first that was met.
    pub frame: u32,
    /// There, and in what it called. Recursion counts once.
    pub total: Weight,
    /// There, and not in what it called.
    pub itself: Weight,
}

impl Profile {
    /// The call tree of some `stacks` of this profile, such as `&profile.on` or those of one group.
    pub fn tree<'a>(&self, stacks: impl IntoIterator<Item = &'a Stack>) -> Node {
        let mut root = Node::default();
        for stack in stacks {
            let mut node = &mut root;
            node.total.add(stack);
            for &frame in &stack.frames {
                let function = Some(self.frames[frame as usize].function);
                let known = node.callees.iter().position(|it| it.function == function);
                let at = known.unwrap_or_else(|| {
                    node.callees.push(Node {
                        function,
                        frame: Some(frame),
                        ..Node::default()
                    });
                    node.callees.len() - 1
                });
                node = &mut node.callees[at];
                node.total.add(stack);
            }
            node.itself.add(stack);
        }
        root.sort();
        root
    }

    /// What each function took in some `stacks` of this profile, those with the most time of their own first.
    pub fn functions<'a>(&self, stacks: impl IntoIterator<Item = &'a Stack>) -> Vec<Function> {
        let mut functions = Vec::new();
        let mut known = HashMap::new();
        let mut seen = Vec::new();
        for stack in stacks {
            seen.clear();
            for (depth, &frame) in stack.frames.iter().enumerate() {
                let name = self.frames[frame as usize].function;
                let at = *known.entry(name).or_insert_with(|| {
                    functions.push(Function {
                        name,
                        frame,
                        total: Weight::default(),
                        itself: Weight::default(),
                    });
                    functions.len() - 1
                });
                let function = &mut functions[at];
                if !seen.contains(&name) {
                    seen.push(name);
                    function.total.add(stack);
                }
                if depth + 1 == stack.frames.len() {
                    function.itself.add(stack);
                }
            }
        }
        functions.sort_by_key(|it| std::cmp::Reverse((it.itself.nanos, it.total.nanos)));
        functions
    }
}

impl Node {
    fn sort(&mut self) {
        // Not by recursion: a stack may be deep, and this one small.
        let mut left = vec![self];
        while let Some(node) = left.pop() {
            let by_cost = |it: &Node| std::cmp::Reverse((it.total.nanos, it.total.count));
            node.callees.sort_by_key(by_cost);
            left.extend(&mut node.callees);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::example::example;

    #[test]
    fn a_tree_sums_up_to_its_root() {
        let profile = example();
        let root = profile.tree(&profile.on);
        assert_eq!(
            root.total.nanos,
            profile.on.iter().map(|stack| stack.nanos).sum::<u64>()
        );
        let mut left = vec![&root];
        while let Some(node) = left.pop() {
            let below: u64 = node.callees.iter().map(|it| it.total.nanos).sum();
            assert_eq!(node.total.nanos, node.itself.nanos + below);
            assert!(
                node.callees
                    .is_sorted_by(|a, b| a.total.nanos >= b.total.nanos)
            );
            left.extend(&node.callees);
        }
    }

    #[test]
    fn recursion_counts_once() {
        let mut profile = example();
        let mut stack = profile.on[0].clone();
        let last = *stack.frames.last().unwrap();
        stack.frames.extend([last, last]);
        profile.on = vec![stack.clone()];
        let functions = profile.functions(&profile.on);
        let name = profile.frames[last as usize].function;
        let function = functions.iter().find(|it| it.name == name).unwrap();
        assert_eq!(function.total.nanos, stack.nanos);
        assert_eq!(function.itself.nanos, stack.nanos);
        assert_eq!(functions[0], *function);
    }
}
