"""The scenario of the Python SDK, written as one of its users would write it.

The runner in test/sdk starts it with the address in SDK_TARGET, that of the REST API in SDK_REST, and the kind of client
in SDK_VARIANT (sync, async, sync-rest or async-rest), and reads a JSON line for each step from its standard output. Both clients have the same
methods, so there is one scenario; what the async one returns is awaited.
"""

import asyncio
import importlib.metadata
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Awaitable, Callable

from qdrant_client import AsyncQdrantClient, QdrantClient, grpc, models

from data import DIMENSIONS, GHOST, ITEMS, NAMED, OTHER_UUID, POINTS, SOME_UUID, books, equals, must, point, vector
from sdk import READ, UNSAFE, report, step, value
from sdk import WRITE as WRITE_OVER_GRPC

# Over REST the sidecar never makes a write again that may have arrived.
WRITE = UNSAFE if os.environ.get("SDK_VARIANT", "").endswith("-rest") else WRITE_OVER_GRPC


class Scenario:
    def __init__(self, target: str, variant: str, idle: float) -> None:
        host, port = target.rsplit(":", 1)
        self.is_async = variant.startswith("async")
        self.is_rest = variant.endswith("-rest")
        self.idle = idle
        make = AsyncQdrantClient if self.is_async else QdrantClient
        if self.is_rest:
            self.client: Any = make(url=f"http://{target}")
        else:
            # It asks the REST API for Qdrant's version at once, and for a few other things later.
            _, rest_port = os.environ["SDK_REST"].rsplit(":", 1)
            self.client = make(host, port=int(rest_port), grpc_port=int(port), prefer_grpc=True)

    async def run(self) -> None:
        await self.clear()
        await self.schema()
        await self.load()
        await self.queries()
        await self.more_queries()
        await self.scrolls()
        await self.payloads()
        await self.vectors()
        await self.batches()
        await self.aliases()
        await self.snapshots()
        await self.beside()
        await self.mistakes()
        await self.parallel()
        await self.patience()
        await self.farewell()

    async def clear(self) -> None:
        """Removes what an earlier run may have left. It is no step."""
        for name in (ITEMS, NAMED):
            for _ in range(20):
                try:
                    if not await value(self.client.collection_exists(name)):
                        break
                    await value(self.client.delete_collection(name))
                except Exception:
                    pass  # asked again above

    async def schema(self) -> None:
        c = self.client

        def create() -> Any:
            return c.create_collection(
                ITEMS, vectors_config=models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE)
            )

        await step("health check", UNSAFE, lambda: c.info())
        await step("collection exists: no", READ, lambda: c.collection_exists(ITEMS))
        await step("create collection", UNSAFE, create)
        await step("create collection with named vectors", UNSAFE, lambda: c.create_collection(
            NAMED,
            vectors_config={
                "text": models.VectorParams(size=3, distance=models.Distance.DOT),
                "words": models.VectorParams(
                    size=2,
                    distance=models.Distance.COSINE,
                    multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
                ),
            },
            sparse_vectors_config={"terms": models.SparseVectorParams()},
        ))
        await step("create collection: exists", UNSAFE, create)
        await step("collection exists: yes", READ, lambda: c.collection_exists(ITEMS))
        await step("list collections", READ, lambda: c.get_collections())
        await step("update collection", WRITE, lambda: c.update_collection(
            ITEMS, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=20000)
        ))

        async def config() -> Any:
            return (await value(c.get_collection(NAMED))).config

        await step("collection info", READ, config)
        for field, kind in {
            "color": models.PayloadSchemaType.KEYWORD,
            "n": models.PayloadSchemaType.INTEGER,
            "price": models.PayloadSchemaType.FLOAT,
            "shop.at": models.PayloadSchemaType.GEO,
            "since": models.PayloadSchemaType.DATETIME,
            "text": models.PayloadSchemaType.TEXT,
        }.items():
            await step(f"index {field}", WRITE, lambda: c.create_payload_index(ITEMS, field, kind, wait=True))

    async def load(self) -> None:
        c = self.client
        # In batches of 64, unless told otherwise.
        await step("upload 10,000 points", WRITE, lambda: c.upload_points(
            ITEMS, (point(i) for i in range(POINTS)), wait=True
        ))
        await step("upsert a UUID", WRITE, lambda: c.upsert(ITEMS, [point(10_001, SOME_UUID)], wait=True))
        await step("upsert named vectors", WRITE, lambda: c.upsert(NAMED, books(), wait=True))
        await step("upsert without waiting", WRITE, lambda: c.upsert(ITEMS, [point(1)], wait=False))
        await step("upsert a batch", WRITE, lambda: c.upsert(ITEMS, models.Batch(
            ids=[2, 3], vectors=[vector(2), vector(3)], payloads=[point(2).payload, point(3).payload]
        )))

    async def query(self, name: str, collection: str = ITEMS, **arguments: Any) -> None:
        await step(f"query {name}", READ, lambda: self.client.query_points(collection, **arguments))

    async def queries(self) -> None:
        near = vector(77)
        await self.query("nearest", query=near)
        await self.query("by id", query=5, limit=3)
        await self.query(
            "with everything", query=near, limit=3, offset=1, score_threshold=0.5, with_payload=True, with_vectors=True,
            search_params=models.SearchParams(exact=True, hnsw_ef=64),
        )
        await self.query("filtered", query=near, with_payload=["n", "color"], query_filter=models.Filter(
            must=[models.FieldCondition(key="price", range=models.Range(gte=10, lt=50))],
            should=[equals("color", "red"), equals("sold", True)],
            must_not=[
                models.HasIdCondition(has_id=[1, 2, 3]),
                models.FieldCondition(key="tags", match=models.MatchAny(any=["t0", "t1"])),
            ],
        ))
        await self.query("filtered by place, time and text", query=near, query_filter=must(
            models.FieldCondition(key="shop.at", geo_radius=models.GeoRadius(
                center=models.GeoPoint(lat=47.5, lon=8.5), radius=10_000
            )),
            models.FieldCondition(key="since", range=models.DatetimeRange(gte=datetime(2024, 1, 10))),
            models.FieldCondition(key="text", match=models.MatchText(text="number")),
            models.Filter(min_should=models.MinShould(min_count=1, conditions=[
                models.IsEmptyCondition(is_empty=models.PayloadField(key="nothing")),
                models.IsNullCondition(is_null=models.PayloadField(key="color")),
            ])),
        ))
        await self.query("named vector", NAMED, using="text", query=[1, 2, 3])
        await self.query("sparse vector", NAMED, using="terms", query=models.SparseVector(indices=[7, 42], values=[1, 1]))
        await self.query("multivector", NAMED, using="words", query=[[1, 0], [0, 1]])
        await self.query("recommend", query=models.RecommendQuery(
            recommend=models.RecommendInput(positive=[1], negative=[vector(2)])
        ))
        await self.query("fusion", NAMED, query=models.FusionQuery(fusion=models.Fusion.RRF), prefetch=[
            models.Prefetch(using="text", query=[1, 3, 0], limit=5),
            models.Prefetch(using="terms", query=models.SparseVector(indices=[7], values=[1]), limit=5),
        ])
        await self.query("order by", query=models.OrderByQuery(
            order_by=models.OrderBy(key="n", direction=models.Direction.DESC)
        ))
        await self.query("discover", query=models.DiscoverQuery(discover=models.DiscoverInput(
            target=vector(9), context=[models.ContextPair(positive=1, negative=2)]
        )))

    async def more_queries(self) -> None:
        c, near = self.client, vector(77)
        await self.query("formula", prefetch=[models.Prefetch(query=near)], query=models.FormulaQuery(
            formula=models.SumExpression(sum=["$score", 1.0])
        ))

        async def sample() -> int:
            answer = await value(c.query_points(ITEMS, query=models.SampleQuery(sample=models.Sample.RANDOM), limit=4))
            return len(answer.points)

        await step("query sample", READ, sample)
        await step("query batch", READ, lambda: c.query_batch_points(ITEMS, [
            models.QueryRequest(query=near, limit=2), models.QueryRequest(filter=must(equals("n", 20))),
        ]))
        await step("query groups", READ, lambda: c.query_points_groups(
            ITEMS, query=near, group_by="color", group_size=2, limit=3
        ))
        await step("facet", READ, lambda: c.facet(ITEMS, "color", exact=True))
        few = must(models.HasIdCondition(has_id=[1, 2, 3]))
        await step("distance matrix, pairs", READ, lambda: c.search_matrix_pairs(ITEMS, few, sample=3, limit=2))
        await step("distance matrix, offsets", READ, lambda: c.search_matrix_offsets(ITEMS, few, sample=3, limit=2))

    async def scrolls(self) -> None:
        c = self.client
        await step("count", READ, lambda: c.count(ITEMS, exact=True))
        await step("count filtered", READ, lambda: c.count(ITEMS, must(equals("color", "red")), exact=True))
        await step("retrieve", READ, lambda: c.retrieve(ITEMS, [1, 99_999, SOME_UUID], with_vectors=True))

        async def to_the_end() -> list[Any]:
            seen, offset = [], None
            while True:
                page, offset = await value(c.scroll(ITEMS, limit=1000, offset=offset))
                seen += [record.id for record in page]
                if offset is None:
                    return seen

        await step("scroll to the end", READ, to_the_end)
        await step("scroll ordered", READ, lambda: c.scroll(
            ITEMS, limit=5, order_by=models.OrderBy(key="n", start_from=4321)
        ))

    async def payloads(self) -> None:
        c = self.client
        await step("set payload", WRITE, lambda: c.set_payload(ITEMS, {"sale": True}, points=[1, 2], wait=True))
        await step("set payload by filter", UNSAFE, lambda: c.set_payload(
            ITEMS, {"lucky": "yes"}, points=must(equals("n", 7)), wait=True
        ))
        await step("overwrite payload", WRITE, lambda: c.overwrite_payload(
            ITEMS, {"color": "weiß", "n": 3}, points=[3], wait=True
        ))
        await step("delete payload", WRITE, lambda: c.delete_payload(ITEMS, ["price", "text"], points=[4], wait=True))
        await step("clear payload", WRITE, lambda: c.clear_payload(ITEMS, points_selector=[5], wait=True))
        await step("payloads after edits", READ, lambda: c.retrieve(ITEMS, [1, 2, 3, 4, 5, 7]))

    async def vectors(self) -> None:
        c = self.client
        await step("update vectors", WRITE, lambda: c.update_vectors(NAMED, [
            models.PointVectors(id=3, vector={"terms": models.SparseVector(indices=[3], values=[1])})
        ], wait=True))
        await step("delete vectors", WRITE, lambda: c.delete_vectors(NAMED, ["words"], points=[OTHER_UUID], wait=True))
        await step("vectors after edits", READ, lambda: c.scroll(NAMED, with_vectors=True))

    async def batches(self) -> None:
        c = self.client

        async def update() -> int:
            return len(await value(c.batch_update_points(ITEMS, wait=True, update_operations=[
                models.UpsertOperation(upsert=models.PointsList(points=[point(20_000)])),
                models.SetPayloadOperation(set_payload=models.SetPayload(payload={"color": "black"}, points=[20_000])),
                models.DeleteOperation(delete=models.PointIdsList(points=[10])),
            ])))

        await step("update batch", UNSAFE, update)  # because it deletes beside other changes
        await step("delete by ids", WRITE, lambda: c.delete(ITEMS, [11, 12, 99_999], wait=True))
        await step("delete by filter", UNSAFE, lambda: c.delete(
            ITEMS, must(models.FieldCondition(key="n", range=models.Range(gte=9000, lt=9100))), wait=True
        ))
        await step("delete index", WRITE, lambda: c.delete_payload_index(ITEMS, "since", wait=True))
        await step("count after deletes", READ, lambda: c.count(ITEMS, exact=True))

    async def aliases(self) -> None:
        c = self.client

        def create(alias: str, collection: str) -> models.CreateAliasOperation:
            return models.CreateAliasOperation(
                create_alias=models.CreateAlias(alias_name=alias, collection_name=collection)
            )

        await step("create alias", UNSAFE, lambda: c.update_collection_aliases([create("sdk-alias", ITEMS)]))
        await step("count by alias", READ, lambda: c.count("sdk-alias", exact=True))
        await step("rename alias", UNSAFE, lambda: c.update_collection_aliases([models.RenameAliasOperation(
            rename_alias=models.RenameAlias(old_alias_name="sdk-alias", new_alias_name="sdk-renamed")
        )]))
        delete = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name="sdk-renamed"))
        await step("switch alias", UNSAFE, lambda: c.update_collection_aliases([delete, create("sdk-renamed", NAMED)]))
        await step("list aliases", READ, lambda: c.get_aliases())
        await step("list aliases of a collection", READ, lambda: c.get_collection_aliases(NAMED))
        await step("delete alias", UNSAFE, lambda: c.update_collection_aliases([delete]))

    async def snapshots(self) -> None:
        """Their names have the time in them."""
        c, name = self.client, "none"

        async def create() -> bool:
            nonlocal name
            name = (await value(c.create_snapshot(NAMED, wait=True))).name
            return True

        async def listed() -> bool:
            return len(await value(c.list_snapshots(NAMED))) > 0

        async def listed_full() -> int:
            return len(await value(c.list_full_snapshots()))

        await step("create snapshot", UNSAFE, create)
        await step("list snapshots", READ, listed)
        await step("delete snapshot", UNSAFE, lambda: c.delete_snapshot(NAMED, name, wait=True))
        await step("list full snapshots", READ, listed_full)

    async def beside(self) -> None:
        """What goes over REST even if the client prefers gRPC."""
        c = self.client

        async def telemetry() -> bool:  # which holds numbers that grow
            return (await value(c.cluster_telemetry())) is not None

        async def optimizations() -> bool:
            return (await value(c.get_optimizations(ITEMS))) is not None

        await step("cluster status", READ, lambda: c.cluster_status())
        await step("cluster telemetry", READ, telemetry)
        await step("optimizations", READ, optimizations)
        await step("list shard snapshots", READ, lambda: c.list_shard_snapshots(NAMED, 0))
        await step("recover a snapshot from nowhere", UNSAFE, lambda: c.recover_snapshot(NAMED, "file:///nowhere"))

    async def mistakes(self) -> None:
        c = self.client
        await self.query("of a collection that is not there", GHOST, query=vector(1))
        await self.query("near a point that is not there", query=99_999)
        await self.query("of a vector that is not there", NAMED, using="nope", query=vector(1))
        await step("mistake: wrong dimension", WRITE, lambda: c.upsert(
            ITEMS, [models.PointStruct(id=1, vector=[1, 2])], wait=True
        ))
        await step("mistake: invalid request", READ, lambda: c.scroll(ITEMS, limit=0))
        await step("mistake: upsert nowhere", WRITE, lambda: c.upsert(GHOST, [point(1)], wait=True))
        await step("alias of nothing", UNSAFE, lambda: c.update_collection_aliases([
            models.CreateAliasOperation(create_alias=models.CreateAlias(alias_name="sdk-alias", collection_name=GHOST))
        ]))
        large = point(30_000)
        large.payload["large"] = "0123456789abcdef" * (6 << 16)
        # The sidecar stores, and repeats, requests up to 4 MiB.
        await step("upsert 6 MiB in one point", UNSAFE, lambda: c.upsert(ITEMS, [large], wait=True))
        await step("read 6 MiB in one point", READ, lambda: c.retrieve(ITEMS, [30_000]))

    async def together(self, work: Callable[[int], Awaitable[Any]]) -> list[Any]:
        """16 tasks share the client, or 16 threads."""
        if self.is_async:
            return list(await asyncio.gather(*(work(worker) for worker in range(16))))
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(lambda worker: asyncio.run(work(worker)), range(16)))

    async def parallel(self) -> None:
        c = self.client

        async def reads(worker: int) -> Any:
            for i in range(10):
                answer = await value(c.query_points(ITEMS, query=vector(worker * 10 + i)))
            return answer.points[0].id

        async def writes(worker: int) -> Any:
            return await value(c.upsert(ITEMS, [point(40_000 + worker * 10 + i) for i in range(10)], wait=True))

        await step("parallel reads", READ, lambda: self.together(reads))
        await step("parallel writes", WRITE, lambda: self.together(writes))
        await step("count after parallel writes", READ, lambda: c.count(ITEMS, exact=True))

    async def patience(self) -> None:
        """A pause, and calls that are given up.

        The SDK counts timeouts in whole seconds, so shorter ones take the stubs that it is made of.
        """
        c = self.client

        async def after_a_pause() -> Any:
            await asyncio.sleep(self.idle)
            return await value(c.query_points(ITEMS, query=vector(3)))

        await step("query after a pause", READ, after_a_pause)
        if not self.is_rest:
            long = grpc.QueryBatchPoints(collection_name=ITEMS, query_points=[
                grpc.QueryPoints(
                    collection_name=ITEMS,
                    query=grpc.Query(nearest=grpc.VectorInput(dense=grpc.DenseVector(data=vector(i)))),
                    params=grpc.SearchParams(exact=True),
                )
                for i in range(300)
            ])

            async def give_up() -> Any:
                return len((await value(c.grpc_points.QueryBatch(long, timeout=0.03))).result)

            await step("timeout", READ, give_up)

            async def cancel() -> Any:
                call = c.grpc_points.QueryBatch(long)
                asyncio.get_running_loop().call_later(0.03, call.cancel)
                return len((await call).result)

            if self.is_async:  # the sync client has no call that could be cancelled
                await step("cancel", READ, cancel)
        await step("count after giving up", READ, lambda: c.count(ITEMS, exact=True))

    async def farewell(self) -> None:
        for name in (ITEMS, NAMED):
            await step(f"delete collection {name}", UNSAFE, lambda: self.client.delete_collection(name))
        await step("delete collection: none", UNSAFE, lambda: self.client.delete_collection(GHOST))

    async def attempts(self) -> None:
        """One call of each kind, of different methods, for a runner that counts what reaches Qdrant.

        A step is named as the method is, or over REST as the path ends, and none is repeated here.
        """
        c = self.client
        query, set_payload, create, upsert = (
            ("query", "payload", ITEMS, "points") if self.is_rest else ("Query", "SetPayload", "Create", "Upsert")
        )
        await step(query, READ, lambda: c.query_points(ITEMS, query=vector(1)))
        await step(set_payload, READ, lambda: c.set_payload(ITEMS, {"a": 1}, points=[1]))
        await step(create, READ, lambda: c.create_collection(
            ITEMS, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT)
        ))
        await step(f"{upsert}, by upload_points", READ, lambda: c.upload_points(ITEMS, [point(1)]))


async def main() -> None:
    scenario = Scenario(
        os.environ["SDK_TARGET"], os.environ.get("SDK_VARIANT", "sync"), float(os.environ.get("SDK_IDLE_SECONDS", "2"))
    )
    report({
        "sdk": "qdrant-client",
        "version": importlib.metadata.version("qdrant-client"),
        "runtime": f"Python {platform.python_version()}",
    })
    await (scenario.attempts() if os.environ.get("SDK_MODE") == "attempts" else scenario.run())
    await value(scenario.client.close())


if __name__ == "__main__":
    asyncio.run(main())
