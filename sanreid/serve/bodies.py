"""Bodies of requests and answers; what they are made of is checked again by the gallery."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

__all__ = [
    "EmbedBody",
    "Embedded",
    "EnrolBody",
    "Enrolled",
    "ErrorAnswer",
    "ForgetBody",
    "Forgotten",
    "Found",
    "Health",
    "Identified",
    "IdentifyBody",
    "SearchBody",
]

Pid = StrictInt | StrictStr
Camid = StrictInt | StrictStr  # a text where cameras have names
Images = Annotated[list[str], Field(description="Image files, each as base64 text.")]
Camids = Annotated[
    list[Camid | None] | None,
    Field(
        description="Camera of each image; with same_camera 'exclude' its entries are left out."
    ),
]
Number = StrictFloat  # takes whole numbers too, but neither texts nor booleans
Timestamps = Annotated[
    list[Number | None] | None, Field(description="Seconds of UTC of each image.")
]
Where = Annotated[dict[str, Any] | None, Field(description="Only entries that match this filter.")]
SameCamera = Literal["exclude", "keep"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PairGap(_Body):
    """Seconds between two cameras, in either direction."""

    camids: tuple[Camid, Camid]
    seconds: Number


def _gap(words: str) -> Any:  # noqa: ANN401 - what pydantic reads
    return Field(None, description=f"{words} between two cameras, all pairs alike or by pair.")


Gap = Number | list[PairGap] | None


class EmbedBody(_Body):
    """Images to embed."""

    images: Images = []


class SearchBody(_Body):
    """Images to search for."""

    images: Images = []
    k: StrictInt = Field(10, ge=1, description="Hits per image.")
    where: Where = None
    camids: Camids = None
    same_camera: SameCamera = "exclude"
    timestamps: Timestamps = None
    min_gap_s: Gap = _gap("Least seconds")
    max_gap_s: Gap = _gap("Most seconds")
    min_similarity: Number | None = None
    rerank: StrictBool | StrictInt = False
    expand: StrictInt = 0


class IdentifyBody(_Body):
    """Images of people to identify."""

    images: Images = []
    threshold: Number | None = Field(
        None, description="Least similarity of a match; the gallery's calibrated one if null."
    )
    group: Literal["best", "mean"] = "best"
    top: StrictInt = Field(3, ge=1)
    where: Where = None
    camids: Camids = None
    same_camera: SameCamera = "exclude"
    timestamps: Timestamps = None
    min_gap_s: Gap = _gap("Least seconds")
    max_gap_s: Gap = _gap("Most seconds")


class EnrolBody(_Body):
    """Images of one person to add."""

    images: Images
    pid: Pid | None = Field(description="The person; null for somebody not known yet.")
    camids: list[Camid | None] | None = None
    timestamps: Timestamps = None
    metadata: list[dict[str, Any] | None] | None = None


class ForgetBody(_Body):
    """A person, or entries, to remove without a trace."""

    pid: Pid | None = None
    ids: list[StrictInt] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_of_them(self) -> ForgetBody:
        if (self.pid is None) == (self.ids is None):
            raise ValueError("send either pid or ids")
        return self


class Embedded(BaseModel):
    """One embedding of L2 norm 1 per image."""

    embeddings: list[list[float]]
    fingerprint: str


class Match(BaseModel):
    """One entry that was found."""

    id: int
    similarity: float
    pid: Pid | None
    camid: Camid | None
    timestamp: float | None
    metadata: dict[str, Any]


class Found(BaseModel):
    """The hits of each image, best first."""

    hits: list[list[Match]]


class Identity(BaseModel):
    """The person of an image; pid is null for unknown."""

    pid: Pid | None
    similarity: float | None
    margin: float | None
    candidate: Pid | None
    entry_ids: list[int]


class Identified(BaseModel):
    """One identity per image."""

    identities: list[Identity]


class Enrolled(BaseModel):
    """Ids of the new entries; they are on disk."""

    ids: list[int]


class Forgotten(BaseModel):
    """How many entries were removed; the files hold nothing of them, unless ``trace`` says so."""

    removed: int
    trace: str | None = Field(
        None, description="Why files may still hold them; left out when they do not."
    )


class Health(BaseModel):
    """Whether the service answers, and whether it takes changes."""

    status: Literal["ok"]
    writable: bool


class ErrorDetail(BaseModel):
    """What went wrong: the library's error and its message."""

    type: str
    message: str


class ErrorAnswer(BaseModel):
    """The body of every answer with a status of 400 or above."""

    error: ErrorDetail
