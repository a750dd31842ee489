//! `/webhooks`: where the caller is told what happens to their sessions (`docs/webhooks.md`).

use aod_resources::shape::Shape;
use aod_resources::{
    DeliveryState, NewWebhook, Webhook, WebhookChanges, WebhookDelivery, WebhookRotation,
};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::auth::Caller;
use crate::body::{Body, OptionalBody};
use crate::error::{ApiError, Detail};
use crate::page::{LIMIT, Listing, Page};
use crate::path::{Id, InnerId};
use crate::query::Query;

/// The routes of webhooks.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, delete))
        .routes(routes!(rotate))
        .routes(routes!(test))
        .routes(routes!(deliveries))
        .routes(routes!(delivery))
        .routes(routes!(redeliver))
}

aod_resources::input! {
    /// Which webhooks to list.
    example ""
    struct WebhookListQuery {
        /// The most webhooks to give; all of them where nothing is said.
        optional limit: Option<u32> = LIMIT,
        /// Go on after the webhook with this id, which `next` of the page before has.
        optional after: Option<Uuid> = Shape::Id,
        /// Only the webhook of this session.
        optional session_id: Option<Uuid> = Shape::Id,
    }
}

aod_resources::input! {
    /// Which deliveries to list.
    example ""
    struct DeliveryListQuery {
        /// The most deliveries to give; all of them where nothing is said.
        optional limit: Option<u32> = LIMIT,
        /// Go on after the delivery with this id, which `next` of the page before has.
        optional after: Option<Uuid> = Shape::Id,
        /// Only deliveries that stand so.
        optional state: Option<DeliveryState> = Shape::Word(DeliveryState::WORDS),
    }
}

/// A webhook that was just made, or given another secret.
#[derive(Serialize, ToSchema)]
struct WebhookWithSecret {
    #[serde(flatten)]
    webhook: Webhook,
    /// What its messages are signed with. It cannot be shown again.
    secret: String,
}

impl From<(Webhook, SecretString)> for WebhookWithSecret {
    fn from((webhook, secret): (Webhook, SecretString)) -> Self {
        Self {
            webhook,
            secret: secret.expose_secret().to_owned(),
        }
    }
}

/// A message to a webhook, what became of it, and what it says.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookDeliveryWithPayload {
    #[serde(flatten)]
    delivery: WebhookDelivery,
    /// The body that is sent: `type`, `timestamp` and `data`.
    payload: Value,
}

/// Lists the caller's webhooks, newest first, those of single sessions among them.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", params(WebhookListQuery),
    responses((status = 200, body = Listing<Webhook>), (status = 404)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(wanted): Query<WebhookListQuery>,
) -> Result<Json<Listing<Webhook>>, ApiError> {
    let page = Page {
        limit: wanted.limit,
        after: wanted.after,
    };
    let webhooks = api
        .webhooks
        .list(caller.user, wanted.session_id, page.range())
        .await?;
    Ok(Json(page.listing(webhooks, |webhook| webhook.id)))
}

/// Creates a webhook, which is told from now on. Its secret is shown in this reply alone.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", request_body = NewWebhook,
    responses((status = 201, body = WebhookWithSecret), (status = 409)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body { value, .. }: Body<NewWebhook>,
) -> Result<(StatusCode, Json<WebhookWithSecret>), ApiError> {
    let created = api.webhooks.create(caller.user, value).await?;
    Ok((StatusCode::CREATED, Json(created.into())))
}

/// Reads a webhook, without its secret.
#[utoipa::path(get, path = "/webhooks/{id}", tag = "webhooks", params(Id<Webhook>),
    responses((status = 200, body = Webhook), (status = 404)))]
async fn read(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Webhook>,
) -> Result<Json<Webhook>, ApiError> {
    Ok(Json(api.webhooks.get(caller.user, id).await?))
}

/// Changes a webhook. What waits when it is disabled is not sent any more.
#[utoipa::path(patch, path = "/webhooks/{id}", tag = "webhooks", params(Id<Webhook>),
    request_body = WebhookChanges,
    responses((status = 200, body = Webhook), (status = 404)))]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Webhook>,
    Body { value, .. }: Body<WebhookChanges>,
) -> Result<Json<Webhook>, ApiError> {
    Ok(Json(api.webhooks.update(caller.user, id, value).await?))
}

/// Deletes a webhook, with all that was to be sent to it.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks", params(Id<Webhook>),
    responses((status = 200, body = Detail), (status = 404)))]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Webhook>,
) -> Result<Json<Detail>, ApiError> {
    api.webhooks.delete(caller.user, id).await?;
    Ok(Json(Detail::new("Webhook deleted")))
}

/// Gives a webhook another secret, which is shown in this reply alone. For a while messages are
/// signed with the old one, too.
#[utoipa::path(post, path = "/webhooks/{id}/rotate", tag = "webhooks", params(Id<Webhook>),
    request_body = Option<WebhookRotation>,
    responses((status = 200, body = WebhookWithSecret), (status = 404)))]
async fn rotate(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Webhook>,
    OptionalBody(Body { value, .. }): OptionalBody<WebhookRotation>,
) -> Result<Json<WebhookWithSecret>, ApiError> {
    let rotated = api.webhooks.rotate(caller.user, id, value).await?;
    Ok(Json(rotated.into()))
}

/// Has a message sent that tells of nothing, `webhook.test`. What became of it is among the
/// deliveries.
#[utoipa::path(post, path = "/webhooks/{id}/test", tag = "webhooks", params(Id<Webhook>),
    responses((status = 202, body = WebhookDelivery), (status = 404), (status = 409)))]
async fn test(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Webhook>,
) -> Result<(StatusCode, Json<WebhookDelivery>), ApiError> {
    let delivery = api.webhooks.test(caller.user, id).await?;
    Ok((StatusCode::ACCEPTED, Json(delivery)))
}

/// What became of a webhook's messages, newest first.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", tag = "webhooks",
    params(Id<Webhook>, DeliveryListQuery),
    responses((status = 200, body = Listing<WebhookDelivery>), (status = 404)))]
async fn deliveries(
    State(api): State<Api>,
    caller: Caller,
    Id { id, .. }: Id<Webhook>,
    Query(wanted): Query<DeliveryListQuery>,
) -> Result<Json<Listing<WebhookDelivery>>, ApiError> {
    let page = Page {
        limit: wanted.limit,
        after: wanted.after,
    };
    let deliveries = api
        .webhooks
        .deliveries(caller.user, id, wanted.state, page.range())
        .await?;
    Ok(Json(page.listing(deliveries, |delivery| delivery.id)))
}

/// What became of one message, and what it says.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries/{delivery_id}", tag = "webhooks",
    params(Id<Webhook>, InnerId<WebhookDelivery>),
    responses((status = 200, body = WebhookDeliveryWithPayload), (status = 404)))]
async fn delivery(
    State(api): State<Api>,
    caller: Caller,
    Id { id: webhook, .. }: Id<Webhook>,
    InnerId { id: delivery, .. }: InnerId<WebhookDelivery>,
) -> Result<Json<WebhookDeliveryWithPayload>, ApiError> {
    let (delivery, payload) = api
        .webhooks
        .delivery(caller.user, webhook, delivery)
        .await?;
    Ok(Json(WebhookDeliveryWithPayload { delivery, payload }))
}

/// Has a message sent once more, whatever became of it.
#[utoipa::path(post, path = "/webhooks/{id}/deliveries/{delivery_id}/redeliver", tag = "webhooks",
    params(Id<Webhook>, InnerId<WebhookDelivery>),
    responses((status = 202, body = WebhookDelivery), (status = 404), (status = 409)))]
async fn redeliver(
    State(api): State<Api>,
    caller: Caller,
    Id { id: webhook, .. }: Id<Webhook>,
    InnerId { id: delivery, .. }: InnerId<WebhookDelivery>,
) -> Result<(StatusCode, Json<WebhookDelivery>), ApiError> {
    let delivery = api
        .webhooks
        .redeliver(caller.user, webhook, delivery)
        .await?;
    Ok((StatusCode::ACCEPTED, Json(delivery)))
}
