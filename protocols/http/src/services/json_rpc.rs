//! JSON-RPC 2.0 over HTTP.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::handler::Reply;
use crate::{Handler, HandlerError, Json, Request, Response, Status};

/// Calls in one batch at most, unless told otherwise.
const MOST_CALLS: usize = 100;

/// Answers JSON-RPC 2.0: single calls, notifications and batches, sent with POST.
///
/// ```
/// use grapeshot_http::{JsonRpc, Router, RpcError};
///
/// let rpc = JsonRpc::new()
///     .method("add", |(a, b): (i64, i64)| Ok(a + b))
///     .method("divide", |(a, b): (i64, i64)| {
///         a.checked_div(b).ok_or_else(|| RpcError::new(1, "nothing can be divided by zero"))
///     });
/// let site = Router::new().any("/rpc", rpc);
/// ```
///
/// Parameters are given by position (a tuple or a `Vec`) or by name (a struct), as serde reads them; `()` for none. The calls of
/// a batch run one after the other. Its content is limited as any other: [`Limits::body`](crate::Limits::body).
#[derive(Default)]
pub struct JsonRpc {
    methods: BTreeMap<String, Box<Method>>,
    most_calls: Option<usize>,
}

type Method = dyn Fn(Value) -> Result<Value, RpcError> + Send + Sync;

/// Why a call failed, as the caller is told.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    code: i64,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

impl RpcError {
    /// With a code of your own: any but -32768 to -32000, which are JSON-RPC's.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// Adds what a program can make use of.
    #[must_use]
    pub fn data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }
}

impl JsonRpc {
    /// Without methods.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a method; one of that name is replaced. It may block as it likes.
    #[must_use]
    pub fn method<P, R, F>(mut self, name: &str, method: F) -> Self
    where
        P: DeserializeOwned,
        R: Serialize,
        F: Fn(P) -> Result<R, RpcError> + Send + Sync + 'static,
    {
        let call = move |params: Value| {
            let params = serde_json::from_value(params)
                .map_err(|error| RpcError::new(-32602, format!("invalid params: {error}")))?;
            serde_json::to_value(method(params)?)
                .map_err(|error| RpcError::new(-32603, format!("internal error: {error}")))
        };
        self.methods.insert(name.to_owned(), Box::new(call));
        self
    }

    /// Allows so many calls in a batch, instead of 100.
    #[must_use]
    pub fn most_calls(mut self, calls: usize) -> Self {
        self.most_calls = Some(calls);
        self
    }

    /// The answer to a message; none to notifications.
    fn answer(&self, message: &[u8]) -> Option<Value> {
        let message: Value = match serde_json::from_slice(message) {
            Ok(message) => message,
            Err(error) => {
                let error = RpcError::new(-32700, format!("parse error: {error}"));
                return Some(failure(Value::Null, error));
            }
        };
        let Value::Array(calls) = message else {
            return self.call(message);
        };
        let most = self.most_calls.unwrap_or(MOST_CALLS);
        if calls.is_empty() || calls.len() > most {
            let text = format!("invalid request: a batch has 1 to {most} calls");
            return Some(failure(Value::Null, RpcError::new(-32600, text)));
        }
        let answers: Vec<_> = calls
            .into_iter()
            .filter_map(|call| self.call(call))
            .collect();
        (!answers.is_empty()).then_some(Value::Array(answers))
    }

    fn call(&self, call: Value) -> Option<Value> {
        let Value::Object(mut call) = call else {
            return Some(failure(Value::Null, invalid("a call is an object")));
        };
        let id = call.remove("id");
        // An id that can be none is not repeated to who sent it.
        let known = match &id {
            None | Some(Value::Null | Value::String(_) | Value::Number(_)) => id.clone(),
            Some(_) => {
                return Some(failure(
                    Value::Null,
                    invalid("an id is a string or a number"),
                ));
            }
        };
        if call.get("jsonrpc") != Some(&json!("2.0")) {
            return Some(failure(
                known.unwrap_or_default(),
                invalid("jsonrpc is \"2.0\""),
            ));
        }
        let Some(Value::String(method)) = call.remove("method") else {
            return Some(failure(
                known.unwrap_or_default(),
                invalid("a method is named"),
            ));
        };
        let params = call.remove("params").unwrap_or_default();
        if !matches!(params, Value::Null | Value::Array(_) | Value::Object(_)) {
            let error = invalid("params are an array or an object");
            return Some(failure(known.unwrap_or_default(), error));
        }
        let result = match self.methods.get(&method) {
            Some(method) => method(params),
            None => Err(RpcError::new(-32601, "method not found")),
        };
        // Who gives no id does not want to hear of it.
        let id = id?;
        Some(match result {
            Ok(result) => json!({"jsonrpc": "2.0", "result": result, "id": id}),
            Err(error) => failure(id, error),
        })
    }
}

fn invalid(why: &str) -> RpcError {
    RpcError::new(-32600, format!("invalid request: {why}"))
}

fn failure(id: Value, error: RpcError) -> Value {
    json!({"jsonrpc": "2.0", "error": error, "id": id})
}

impl Handler for JsonRpc {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        if request.method() != "POST" {
            let response = response.header("Allow", "POST");
            return Status::METHOD_NOT_ALLOWED.reply(response);
        }
        match self.answer(&request.read_body()?) {
            Some(answer) => Json(answer).reply(response),
            None => ().reply(response),
        }
    }
}

impl fmt::Debug for JsonRpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.methods.keys()).finish()
    }
}
