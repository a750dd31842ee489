use std::cell::RefCell;
use std::marker::PhantomData;

use crate::bindings::exports::aod::runtime::adapter::{Guest, GuestTurn};
use crate::{
    Adapter, Answer, Conclusion, Description, Driver, Exit, OutputStream, Plan, Reaction,
    TurnContext,
};

/// An adapter as a component.
#[derive(Debug)]
pub struct Component<A>(PhantomData<A>);

/// A turn as a resource, whose methods take it by shared reference.
#[allow(missing_debug_implementations, reason = "a turn need not be printable")]
pub struct TurnResource<A: Adapter>(RefCell<Driver<A>>);

impl<A: Adapter> Guest for Component<A> {
    type Turn = TurnResource<A>;

    fn describe(options: String) -> Result<Description, String> {
        crate::describe::<A>(&options)
    }

    fn plan(context: TurnContext) -> Result<Plan, String> {
        crate::plan_turn::<A>(&context)
    }
}

impl<A: Adapter> GuestTurn for TurnResource<A> {
    fn new(context: TurnContext) -> Self {
        Self(RefCell::new(Driver::new(context)))
    }

    fn feed(&self, source: OutputStream, lines: String) -> Reaction {
        self.0.borrow_mut().feed(source, &lines)
    }

    fn answer(&self, answer: Answer) -> Reaction {
        self.0.borrow_mut().answer(answer)
    }

    fn tick(&self, elapsed_ms: u64) -> Reaction {
        self.0.borrow_mut().tick(elapsed_ms)
    }

    fn interrupt(&self) -> Reaction {
        self.0.borrow_mut().interrupt()
    }

    fn finish(&self, exit: Exit) -> Conclusion {
        self.0.borrow_mut().finish(exit)
    }
}

/// Makes a crate of type `cdylib` a runtime adapter: the argument is what implements
/// [`Adapter`].
///
/// On other targets than WebAssembly it does nothing, so that the same crate can be tested
/// natively.
#[macro_export]
macro_rules! export_adapter {
    ($adapter:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::Component<$adapter>;
    $crate::bindings::export_runtime!(Exported with_types_in $crate::bindings);
        };
    };
}
