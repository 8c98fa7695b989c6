//! How an [`Entry`]'s functions become callable: with its name, behind its right.

use std::sync::Arc;

use rhai::{Engine, Scope, Variant};

use super::{Answer, Console, Entry};

/// Takes the functions of one entry.
pub(crate) struct Binder<'a> {
    engine: &'a mut Engine,
    scope: &'a mut Scope<'static>,
    console: &'a Arc<Console>,
    entry: &'static Entry,
}

impl<'a> Binder<'a> {
    pub(super) fn new(
        engine: &'a mut Engine,
        scope: &'a mut Scope<'static>,
        console: &'a Arc<Console>,
        entry: &'static Entry,
    ) -> Self {
        Self {
            engine,
            scope,
            console,
            entry,
        }
    }

    /// A function `fn(&Console, ..) -> Answer` with up to three arguments of the language's types (`INT`, `f64`, `bool`,
    /// `ImmutableString`, `Array`, `Map`, `FnPtr`, `Dynamic` for any), or a method `fn(&Console, &mut T, ..) -> Answer`.
    pub(crate) fn add<Arguments>(&mut self, body: impl Body<Arguments>) {
        body.bind(self);
    }

    /// The value that the methods of `name` are called on: `profile.start()`. The same for all entries of a subject.
    #[allow(dead_code)] // The first subject that is made of methods uses it.
    pub(crate) fn receiver(&mut self, name: &str, value: impl Variant + Clone) {
        if !self.scope.contains(name) {
            self.scope.push_constant(name, value);
        }
    }
}

/// What can be bound; `Arguments` only tells the implementations apart.
pub(crate) trait Body<Arguments> {
    fn bind(self, to: &mut Binder<'_>);
}

/// The arguments of a method.
pub(crate) struct Method<Arguments>(std::marker::PhantomData<Arguments>);

macro_rules! body {
    ($($argument:ident),*) => {
        impl<Function, $($argument),*> Body<($($argument,)*)> for Function
        where
            Function: Fn(&Console, $($argument),*) -> Answer + Send + Sync + 'static,
            $($argument: Variant + Clone,)*
        {
            #[allow(non_snake_case)]
            fn bind(self, to: &mut Binder<'_>) {
                let (console, entry) = (Arc::clone(to.console), to.entry);
                to.engine.register_fn(entry.name, move |$($argument: $argument),*| -> Answer {
                    console.may(entry.right, entry.call)?;
                    self(&console, $($argument),*)
                });
            }
        }

        impl<Function, Receiver, $($argument),*> Body<Method<(Receiver, $($argument,)*)>> for Function
        where
            Function: Fn(&Console, &mut Receiver, $($argument),*) -> Answer + Send + Sync + 'static,
            Receiver: Variant + Clone,
            $($argument: Variant + Clone,)*
        {
            #[allow(non_snake_case)]
            fn bind(self, to: &mut Binder<'_>) {
                let (console, entry) = (Arc::clone(to.console), to.entry);
                to.engine.register_fn(
                    entry.name,
                    move |receiver: &mut Receiver, $($argument: $argument),*| -> Answer {
                        console.may(entry.right, entry.call)?;
                        self(&console, receiver, $($argument),*)
                    },
                );
            }
        }
    };
}

body!();
body!(A);
body!(A, B);
body!(A, B, C);
