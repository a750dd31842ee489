use std::cell::RefCell;
use std::marker::PhantomData;

use crate::bindings::exports::aod::runtime::{conversations, description, launching};
use crate::{
    Adapter, Context, Description, Driver, Exit, Input, Launch, OutputSource, Prompt, Reaction,
    Refusal,
};

/// An adapter as a component.
#[derive(Debug)]
pub struct Component<A>(PhantomData<A>);

/// A conversation as a resource, whose methods take it by shared reference.
#[allow(
    missing_debug_implementations,
    reason = "a conversation need not be printable"
)]
pub struct ConversationResource<A: Adapter>(RefCell<Driver<A>>);

impl<A: Adapter> description::Guest for Component<A> {
    fn describe(options: String) -> Result<Description, String> {
        crate::describe::<A>(&options)
    }
}

impl<A: Adapter> launching::Guest for Component<A> {
    fn prepare(context: Context, prompt: Prompt) -> Result<Launch, Refusal> {
        crate::prepare::<A>(&context, &prompt)
    }
}

impl<A: Adapter> conversations::Guest for Component<A> {
    type Conversation = ConversationResource<A>;
}

impl<A: Adapter> conversations::GuestConversation for ConversationResource<A> {
    fn new(context: Context, state: Option<Vec<u8>>) -> Self {
        Self(RefCell::new(Driver::new(context, state)))
    }

    fn receive(&self, input: Input) -> Reaction {
        self.0.borrow_mut().receive(input)
    }

    fn feed(&self, source: OutputSource, lines: String) -> Reaction {
        self.0.borrow_mut().feed(source, &lines)
    }

    fn tick(&self, elapsed_ms: u64) -> Reaction {
        self.0.borrow_mut().tick(elapsed_ms)
    }

    fn state(&self) -> Option<Vec<u8>> {
        self.0.borrow().state()
    }

    fn finish(&self, exit: Exit) -> Reaction {
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
