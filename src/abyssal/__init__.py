"""Abyssal: a DeepSeek API platform. These are the SDK's names; each is loaded when it is first used.

from abyssal import DeepSeekClient

client = DeepSeekClient()
answer = client.chat.completions.create(
    model="deepseek-chat", messages=[{"role": "user", "content": "Hello!"}]
)
print(answer.choices[0].message.content)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from abyssal.client.answer import RawResponse
    from abyssal.client.async_client import AsyncDeepSeekClient
    from abyssal.client.async_conversations import AsyncExport
    from abyssal.client.async_session import AsyncSession, AsyncSessionStream
    from abyssal.client.async_sockets import AsyncSocketStream
    from abyssal.client.async_stream import AsyncChatStream
    from abyssal.client.async_text import AsyncTextStream
    from abyssal.client.conversation_params import ConversationParams
    from abyssal.client.embedding_params import EmbeddingParams
    from abyssal.client.faults import OpenAICompatibilityError
    from abyssal.client.history import Piece, Reply
    from abyssal.client.params import ChatParams, MessageParam
    from abyssal.client.sockets.params import SocketParams
    from abyssal.client.sync_client import DeepSeekClient
    from abyssal.client.sync_conversations import Export
    from abyssal.client.sync_session import Session, SessionStream
    from abyssal.client.sync_sockets import SocketStream
    from abyssal.client.sync_stream import ChatStream
    from abyssal.client.sync_text import TextStream
    from abyssal.client.text_params import CompletionParams, TextParams
    from abyssal.client.timeout import Timeout
    from abyssal.client.tools.steps import ToolRun, ToolStepsError
    from abyssal.client.tools.tool import Tool, tool
    from abyssal.client.transport import AsyncTransport, PoolTimeoutError, Transport
    from abyssal.wire.chat import (
        ChatCompletion,
        ChatCompletionChunk,
        Choice,
        ChunkChoice,
        Delta,
        FunctionCall,
        Logprobs,
        Message,
        Model,
        ModelList,
        ToolCall,
        ToolCallDelta,
        Usage,
    )
    from abyssal.wire.completions import TextChoice, TextCompletion, TextLogprobs
    from abyssal.wire.conversations import (
        Conversation,
        ConversationPage,
        DeletedConversation,
        DeletedConversations,
        Turn,
        TurnPage,
    )
    from abyssal.wire.embeddings import Embedding, EmbeddingList
    from abyssal.wire.errors import (
        AbyssalError,
        ApiConnectionError,
        ApiError,
        ApiTimeoutError,
        AuthenticationError,
        BadRequestError,
        ConfigurationError,
        ConflictError,
        HeadersTooLargeError,
        InsufficientBalanceError,
        InternalServerError,
        LocalError,
        MethodNotAllowedError,
        NotFoundError,
        PayloadTooLargeError,
        PermissionDeniedError,
        ProtocolError,
        RateLimitError,
        RequestTimeoutError,
        StreamInterruptedError,
        UnavailableError,
        UnprocessableError,
        UnsupportedMediaTypeError,
        UpstreamBrokenError,
        UpstreamTimeoutError,
    )
    from abyssal.wire.files import FileDeleted, FileList, FileObject

__version__ = "0.1.0"

_HOMES = {
    "AbyssalError": "abyssal.wire.errors",
    "ApiConnectionError": "abyssal.wire.errors",
    "ApiError": "abyssal.wire.errors",
    "ApiTimeoutError": "abyssal.wire.errors",
    "AsyncChatStream": "abyssal.client.async_stream",
    "AsyncDeepSeekClient": "abyssal.client.async_client",
    "AsyncExport": "abyssal.client.async_conversations",
    "AsyncSession": "abyssal.client.async_session",
    "AsyncSessionStream": "abyssal.client.async_session",
    "AsyncSocketStream": "abyssal.client.async_sockets",
    "AsyncTextStream": "abyssal.client.async_text",
    "AsyncTransport": "abyssal.client.transport",
    "AuthenticationError": "abyssal.wire.errors",
    "BadRequestError": "abyssal.wire.errors",
    "ChatCompletion": "abyssal.wire.chat",
    "ChatCompletionChunk": "abyssal.wire.chat",
    "ChatParams": "abyssal.client.params",
    "ChatStream": "abyssal.client.sync_stream",
    "Choice": "abyssal.wire.chat",
    "ChunkChoice": "abyssal.wire.chat",
    "CompletionParams": "abyssal.client.text_params",
    "ConfigurationError": "abyssal.wire.errors",
    "ConflictError": "abyssal.wire.errors",
    "Conversation": "abyssal.wire.conversations",
    "ConversationPage": "abyssal.wire.conversations",
    "ConversationParams": "abyssal.client.conversation_params",
    "DeepSeekClient": "abyssal.client.sync_client",
    "DeletedConversation": "abyssal.wire.conversations",
    "DeletedConversations": "abyssal.wire.conversations",
    "Delta": "abyssal.wire.chat",
    "Embedding": "abyssal.wire.embeddings",
    "EmbeddingList": "abyssal.wire.embeddings",
    "EmbeddingParams": "abyssal.client.embedding_params",
    "Export": "abyssal.client.sync_conversations",
    "FileDeleted": "abyssal.wire.files",
    "FileList": "abyssal.wire.files",
    "FileObject": "abyssal.wire.files",
    "FunctionCall": "abyssal.wire.chat",
    "HeadersTooLargeError": "abyssal.wire.errors",
    "InsufficientBalanceError": "abyssal.wire.errors",
    "InternalServerError": "abyssal.wire.errors",
    "LocalError": "abyssal.wire.errors",
    "Logprobs": "abyssal.wire.chat",
    "Message": "abyssal.wire.chat",
    "MessageParam": "abyssal.client.params",
    "MethodNotAllowedError": "abyssal.wire.errors",
    "Model": "abyssal.wire.chat",
    "ModelList": "abyssal.wire.chat",
    "NotFoundError": "abyssal.wire.errors",
    "OpenAICompatibilityError": "abyssal.client.faults",
    "PayloadTooLargeError": "abyssal.wire.errors",
    "PermissionDeniedError": "abyssal.wire.errors",
    "Piece": "abyssal.client.history",
    "PoolTimeoutError": "abyssal.client.transport",
    "ProtocolError": "abyssal.wire.errors",
    "RateLimitError": "abyssal.wire.errors",
    "RawResponse": "abyssal.client.answer",
    "Reply": "abyssal.client.history",
    "RequestTimeoutError": "abyssal.wire.errors",
    "Session": "abyssal.client.sync_session",
    "SessionStream": "abyssal.client.sync_session",
    "SocketParams": "abyssal.client.sockets.params",
    "SocketStream": "abyssal.client.sync_sockets",
    "StreamInterruptedError": "abyssal.wire.errors",
    "TextChoice": "abyssal.wire.completions",
    "TextCompletion": "abyssal.wire.completions",
    "TextLogprobs": "abyssal.wire.completions",
    "TextParams": "abyssal.client.text_params",
    "TextStream": "abyssal.client.sync_text",
    "Timeout": "abyssal.client.timeout",
    "Tool": "abyssal.client.tools.tool",
    "ToolCall": "abyssal.wire.chat",
    "ToolCallDelta": "abyssal.wire.chat",
    "ToolRun": "abyssal.client.tools.steps",
    "ToolStepsError": "abyssal.client.tools.steps",
    "Transport": "abyssal.client.transport",
    "Turn": "abyssal.wire.conversations",
    "TurnPage": "abyssal.wire.conversations",
    "UnavailableError": "abyssal.wire.errors",
    "UnprocessableError": "abyssal.wire.errors",
    "UnsupportedMediaTypeError": "abyssal.wire.errors",
    "UpstreamBrokenError": "abyssal.wire.errors",
    "UpstreamTimeoutError": "abyssal.wire.errors",
    "Usage": "abyssal.wire.chat",
    "tool": "abyssal.client.tools.tool",
}

__all__ = [
    "AbyssalError",
    "ApiConnectionError",
    "ApiError",
    "ApiTimeoutError",
    "AsyncChatStream",
    "AsyncDeepSeekClient",
    "AsyncExport",
    "AsyncSession",
    "AsyncSessionStream",
    "AsyncSocketStream",
    "AsyncTextStream",
    "AsyncTransport",
    "AuthenticationError",
    "BadRequestError",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatParams",
    "ChatStream",
    "Choice",
    "ChunkChoice",
    "CompletionParams",
    "ConfigurationError",
    "ConflictError",
    "Conversation",
    "ConversationPage",
    "ConversationParams",
    "DeepSeekClient",
    "DeletedConversation",
    "DeletedConversations",
    "Delta",
    "Embedding",
    "EmbeddingList",
    "EmbeddingParams",
    "Export",
    "FileDeleted",
    "FileList",
    "FileObject",
    "FunctionCall",
    "HeadersTooLargeError",
    "InsufficientBalanceError",
    "InternalServerError",
    "LocalError",
    "Logprobs",
    "Message",
    "MessageParam",
    "MethodNotAllowedError",
    "Model",
    "ModelList",
    "NotFoundError",
    "OpenAICompatibilityError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "Piece",
    "PoolTimeoutError",
    "ProtocolError",
    "RateLimitError",
    "RawResponse",
    "Reply",
    "RequestTimeoutError",
    "Session",
    "SessionStream",
    "SocketParams",
    "SocketStream",
    "StreamInterruptedError",
    "TextChoice",
    "TextCompletion",
    "TextLogprobs",
    "TextParams",
    "TextStream",
    "Timeout",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolRun",
    "ToolStepsError",
    "Transport",
    "Turn",
    "TurnPage",
    "UnavailableError",
    "UnprocessableError",
    "UnsupportedMediaTypeError",
    "UpstreamBrokenError",
    "UpstreamTimeoutError",
    "Usage",
    "__version__",
    "tool",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'abyssal' has no attribute {name!r}")
    value = getattr(__import__(home, fromlist=[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
