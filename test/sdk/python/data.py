"""The points of every SDK's scenario."""

from qdrant_client import models

ITEMS = "sdk-items"  # 10,000 points of one vector
NAMED = "sdk-named"  # three points of several vectors
GHOST = "sdk-ghost"  # never exists
DIMENSIONS = 32
POINTS = 10_000

SOME_UUID = "0c7b2a52-3c4d-4a53-9a51-25d7a2f8a001"
OTHER_UUID = "0c7b2a52-3c4d-4a53-9a51-25d7a2f8a002"


def vector(i: int) -> list[float]:
    """No two are alike, so that no two scores are."""
    return [(i * 7919 + j * 104729 + i * j * 31) % 1000003 / 1000003 for j in range(DIMENSIONS)]


def point(i: int, point_id: int | str | None = None) -> models.PointStruct:
    return models.PointStruct(
        id=i if point_id is None else point_id,
        vector=vector(i),
        payload={
            "n": i,
            "color": ("red", "green", "blue")[i % 3],
            "price": i * 37 % 1000 / 8,
            "sold": i % 2 == 0,
            "tags": [f"t{i % 5}", "all"],
            "shop": {"city": "Zürich", "at": {"lat": 47 + i % 100 / 100, "lon": 8.5}},
            "since": f"2024-01-{i % 28 + 1:02}T12:00:00Z",
            "text": f"thing number {i} of many",
        },
    )


def books() -> list[models.PointStruct]:
    return [
        models.PointStruct(
            id=SOME_UUID,
            vector={
                "text": [1, 0, 0.5],
                "terms": models.SparseVector(indices=[1, 7, 42], values=[0.5, 1.5, 0.25]),
                "words": [[1, 0], [0.6, 0.8]],
            },
            payload={"title": "Moby-Dick", "year": 1851},
        ),
        models.PointStruct(
            id=OTHER_UUID,
            vector={
                "text": [0.25, 1, 0],
                "terms": models.SparseVector(indices=[7, 9], values=[2, 1]),
                "words": [[0, 1]],
            },
            payload={"title": "Emma", "year": 1815},
        ),
        models.PointStruct(id=3, vector={"text": [0.5, 0.5, 0.5]}, payload={"title": None, "year": 1999}),
    ]


def must(*conditions: models.Condition) -> models.Filter:
    return models.Filter(must=list(conditions))


def equals(key: str, wanted: str | int | bool) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=wanted))
