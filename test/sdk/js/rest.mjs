// The scenario of the JavaScript SDK for REST, written as one of its users would write it. The runner in test/sdk starts
// it with the address in SDK_TARGET and reads a JSON line for each step from its standard output.

import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { QdrantClient } from '@qdrant/js-client-rest';
import { DIMENSIONS, GHOST, ITEMS, NAMED, OTHER_UUID, POINTS, SOME_UUID, vector } from './data.mjs';
// The sidecar never makes a write over REST again that may have arrived, so that each may fail and say so.
import { READ, UNSAFE, UNSAFE as WRITE, report, step } from './step.mjs';

const url = `http://${process.env.SDK_TARGET}`;
const client = new QdrantClient({ url });
const wait = true;

const point = (i, id = i, more = {}) => ({
  id,
  vector: vector(i),
  payload: {
    n: i,
    color: ['red', 'green', 'blue'][i % 3],
    price: ((i * 37) % 1000) / 8,
    sold: i % 2 === 0,
    tags: [`t${i % 5}`, 'all'],
    shop: { city: 'Zürich', at: { lat: 47 + (i % 100) / 100, lon: 8.5 } },
    since: `2024-01-${String((i % 28) + 1).padStart(2, '0')}T12:00:00Z`,
    text: `thing number ${i} of many`,
    ...more,
  },
});

// Qdrant does not take whole numbers for rows of a multivector over REST, and JavaScript writes 1.0 as 1.
const books = [
  {
    id: SOME_UUID,
    vector: { text: [1, 0, 0.5], terms: { indices: [1, 7, 42], values: [0.5, 1.5, 0.25] }, words: [[0.9, 0.1], [0.6, 0.8]] },
    payload: { title: 'Moby-Dick', year: 1851 },
  },
  {
    id: OTHER_UUID,
    vector: { text: [0.25, 1, 0], terms: { indices: [7, 9], values: [2, 1] }, words: [[0.1, 0.9]] },
    payload: { title: 'Emma', year: 1815 },
  },
  { id: 3, vector: { text: [0.5, 0.5, 0.5] }, payload: { title: null, year: 1999 } },
];

const must = (...conditions) => ({ must: conditions });
const match = (key, value) => ({ key, match: { value } });

// Removes what an earlier run may have left. It is no step.
async function clear() {
  for (const name of [ITEMS, NAMED]) {
    for (let i = 0; i < 20; i++) {
      try {
        if (!(await client.collectionExists(name)).exists) break;
        await client.deleteCollection(name);
      } catch {
        // asked again above
      }
    }
  }
}

async function schema() {
  const create = () => client.createCollection(ITEMS, { vectors: { size: DIMENSIONS, distance: 'Cosine' } });
  await step('version', UNSAFE, () => client.versionInfo());
  await step('collection exists: no', READ, () => client.collectionExists(ITEMS));
  await step('create collection', UNSAFE, create);
  await step('create collection with named vectors', UNSAFE, () =>
    client.createCollection(NAMED, {
      vectors: {
        text: { size: 3, distance: 'Dot' },
        words: { size: 2, distance: 'Cosine', multivector_config: { comparator: 'max_sim' } },
      },
      sparse_vectors: { terms: {} },
    }),
  );
  await step('create collection: exists', UNSAFE, create);
  await step('collection exists: yes', READ, () => client.collectionExists(ITEMS));
  await step('list collections', READ, () => client.getCollections());
  await step('update collection', WRITE, () =>
    client.updateCollection(ITEMS, { optimizers_config: { indexing_threshold: 20000 } }),
  );
  await step('collection info', READ, async () => (await client.getCollection(NAMED)).config);
  const indexes = { color: 'keyword', n: 'integer', price: 'float', 'shop.at': 'geo', since: 'datetime', text: 'text' };
  for (const [field_name, field_schema] of Object.entries(indexes)) {
    await step(`index ${field_name}`, WRITE, () => client.createPayloadIndex(ITEMS, { wait, field_name, field_schema }));
  }
}

// Makes one of many writes again that failed because Qdrant was out of reach.
async function patiently(write) {
  for (let i = 0; ; i++) {
    try {
      return await write();
    } catch (error) {
      if (error.status !== 503 || i === 20) throw error;
      await pause(50);
    }
  }
}

async function load() {
  const batch = 100;
  await step('upsert 10,000 points', WRITE, async () => {
    const statuses = [];
    for (let first = 0; first < POINTS; first += batch) {
      const points = Array.from({ length: batch }, (_, i) => point(first + i));
      statuses.push((await patiently(() => client.upsert(ITEMS, { wait, points }))).status);
    }
    return statuses;
  });
  await step('upsert a UUID', WRITE, () => client.upsert(ITEMS, { wait, points: [point(10_001, SOME_UUID)] }));
  await step('upsert named vectors', WRITE, () => client.upsert(NAMED, { wait, points: books }));
  await step('upsert without waiting', WRITE, () => client.upsert(ITEMS, { wait: false, points: [point(1)] }));
  await step('upsert a batch', WRITE, () =>
    client.upsert(ITEMS, {
      wait,
      batch: { ids: [2, 3], vectors: [vector(2), vector(3)], payloads: [point(2).payload, point(3).payload] },
    }),
  );
}

const query = (name, request, collection = ITEMS) => step(`query ${name}`, READ, () => client.query(collection, request));

async function queries() {
  const near = vector(77);
  await query('nearest', { query: near });
  await query('by id', { query: 5, limit: 3 });
  await query('with everything', {
    query: near, limit: 3, offset: 1, score_threshold: 0.5, params: { exact: true, hnsw_ef: 64 },
    with_payload: true, with_vector: true,
  });
  await query('filtered', {
    query: near,
    with_payload: ['n', 'color'],
    filter: {
      must: [{ key: 'price', range: { gte: 10, lt: 50 } }],
      should: [match('color', 'red'), match('sold', true)],
      must_not: [{ has_id: [1, 2, 3] }, { key: 'tags', match: { any: ['t0', 't1'] } }],
    },
  });
  await query('filtered by place, time and text', {
    query: near,
    filter: must(
      { key: 'shop.at', geo_radius: { center: { lat: 47.5, lon: 8.5 }, radius: 10_000 } },
      { key: 'since', range: { gte: '2024-01-10T00:00:00Z' } },
      { key: 'text', match: { text: 'number' } },
      { min_should: { min_count: 1, conditions: [{ is_empty: { key: 'nothing' } }, { is_null: { key: 'color' } }] } },
    ),
  });
  await query('named vector', { using: 'text', query: [1, 2, 3] }, NAMED);
  await query('sparse vector', { using: 'terms', query: { indices: [7, 42], values: [1, 1] } }, NAMED);
  await query('multivector', { using: 'words', query: [[0.9, 0.2], [0.2, 0.9]] }, NAMED);
  await query('recommend', { query: { recommend: { positive: [1], negative: [vector(2)] } } });
  await query('fusion', {
    prefetch: [
      { using: 'text', query: [1, 3, 0], limit: 5 },
      { using: 'terms', query: { indices: [7], values: [1] }, limit: 5 },
    ],
    query: { fusion: 'rrf' },
  }, NAMED);
  await query('order by', { query: { order_by: { key: 'n', direction: 'desc' } } });
  await query('discover', { query: { discover: { target: vector(9), context: [{ positive: 1, negative: 2 }] } } });
  await query('formula', { prefetch: [{ query: near }], query: { formula: { sum: ['$score', 1] } } });
  await step('query sample', READ, async () =>
    (await client.query(ITEMS, { query: { sample: 'random' }, limit: 4 })).points.length,
  );
  await step('query batch', READ, () =>
    client.queryBatch(ITEMS, { searches: [{ query: near, limit: 2 }, { filter: must(match('n', 20)) }] }),
  );
  await step('query groups', READ, () =>
    client.queryGroups(ITEMS, { query: near, group_by: 'color', group_size: 2, limit: 3 }),
  );
  await step('facet', READ, () => client.facet(ITEMS, { key: 'color', exact: true }));
  const few = { sample: 3, limit: 2, filter: must({ has_id: [1, 2, 3] }) };
  await step('distance matrix, pairs', READ, () => client.searchMatrixPairs(ITEMS, few));
  await step('distance matrix, offsets', READ, () => client.searchMatrixOffsets(ITEMS, few));
}

const count = (filter) => client.count(ITEMS, { exact: true, filter });

async function scrolls() {
  await step('count', READ, () => count());
  await step('count filtered', READ, () => count(must(match('color', 'red'))));
  await step('retrieve', READ, () => client.retrieve(ITEMS, { ids: [1, 99_999, SOME_UUID], with_vector: true }));
  await step('scroll to the end', READ, async () => {
    const seen = [];
    let offset;
    do {
      const page = await client.scroll(ITEMS, { limit: 1000, offset });
      seen.push(...page.points.map(({ id }) => id));
      offset = page.next_page_offset;
    } while (offset !== null && offset !== undefined);
    return seen;
  });
  await step('scroll ordered', READ, () => client.scroll(ITEMS, { limit: 5, order_by: { key: 'n', start_from: 4321 } }));
}

async function edits() {
  await step('set payload', WRITE, () => client.setPayload(ITEMS, { wait, payload: { sale: true }, points: [1, 2] }));
  await step('set payload by filter', UNSAFE, () =>
    client.setPayload(ITEMS, { wait, payload: { lucky: 'yes' }, filter: must(match('n', 7)) }),
  );
  await step('overwrite payload', WRITE, () =>
    client.overwritePayload(ITEMS, { wait, payload: { color: 'weiß', n: 3 }, points: [3] }),
  );
  await step('delete payload', WRITE, () => client.deletePayload(ITEMS, { wait, keys: ['price', 'text'], points: [4] }));
  await step('clear payload', WRITE, () => client.clearPayload(ITEMS, { wait, points: [5] }));
  await step('payloads after edits', READ, () => client.retrieve(ITEMS, { ids: [1, 2, 3, 4, 5, 7] }));
  await step('update vectors', WRITE, () =>
    client.updateVectors(NAMED, { wait, points: [{ id: 3, vector: { terms: { indices: [3], values: [1] } } }] }),
  );
  await step('delete vectors', WRITE, () => client.deleteVectors(NAMED, { wait, points: [OTHER_UUID], vector: ['words'] }));
  await step('vectors after edits', READ, () => client.scroll(NAMED, { with_vector: true }));
  await step('update batch', UNSAFE, () =>
    client.batchUpdate(ITEMS, {
      wait,
      operations: [
        { upsert: { points: [point(20_000)] } },
        { set_payload: { payload: { color: 'black' }, points: [20_000] } },
        { delete: { points: [10] } },
      ],
    }),
  );
  await step('delete by ids', WRITE, () => client.delete(ITEMS, { wait, points: [11, 12, 99_999] }));
  await step('delete by filter', UNSAFE, () =>
    client.delete(ITEMS, { wait, filter: must({ key: 'n', range: { gte: 9000, lt: 9100 } }) }),
  );
  await step('delete index', WRITE, () => client.deletePayloadIndex(ITEMS, 'since', { wait }));
  await step('count after deletes', READ, () => count());
}

async function aliases() {
  const change = (...actions) => client.updateCollectionAliases({ actions });
  const create = (alias_name, collection_name) => ({ create_alias: { alias_name, collection_name } });
  const remove = { delete_alias: { alias_name: 'sdk-renamed' } };
  await step('create alias', UNSAFE, () => change(create('sdk-alias', ITEMS)));
  await step('count by alias', READ, () => client.count('sdk-alias', { exact: true }));
  await step('rename alias', UNSAFE, () =>
    change({ rename_alias: { old_alias_name: 'sdk-alias', new_alias_name: 'sdk-renamed' } }),
  );
  await step('switch alias', UNSAFE, () => change(remove, create('sdk-renamed', NAMED)));
  await step('list aliases', READ, () => client.getAliases());
  await step('list aliases of a collection', READ, () => client.getCollectionAliases(NAMED));
  await step('delete alias', UNSAFE, () => change(remove));
  await step('alias of nothing', UNSAFE, () => change(create('sdk-alias', GHOST)));
}

// Their names have the time in them.
async function snapshots() {
  let name = 'none';
  await step('create snapshot', UNSAFE, async () => {
    name = (await client.createSnapshot(NAMED)).name;
  });
  await step('list snapshots', READ, async () => (await client.listSnapshots(NAMED)).length > 0);
  await step('download a snapshot', READ, async () => {
    const answer = await fetch(`${url}/collections/${NAMED}/snapshots/${name}`);
    const { byteLength } = await answer.arrayBuffer();
    return [answer.status, byteLength > 1000];
  });
  await step('delete snapshot', UNSAFE, () => client.deleteSnapshot(NAMED, name));
  await step('list full snapshots', READ, async () => (await client.listFullSnapshots()).length);
  await step('recover a snapshot from nowhere', UNSAFE, () => client.recoverSnapshot(NAMED, { location: 'file:///nowhere' }));
  await step('list shard snapshots', READ, () => client.listShardSnapshots(NAMED, 0));
}

async function mistakes() {
  await query('of a collection that is not there', { query: vector(1) }, GHOST);
  await query('near a point that is not there', { query: 99_999 });
  await query('of a vector that is not there', { using: 'nope', query: vector(1) }, NAMED);
  await step('mistake: wrong dimension', WRITE, () => client.upsert(ITEMS, { wait, points: [{ id: 1, vector: [1, 2] }] }));
  await step('mistake: invalid request', READ, () => client.scroll(ITEMS, { limit: 0 }));
  await step('mistake: upsert nowhere', WRITE, () => client.upsert(GHOST, { wait, points: [point(1)] }));
  const large = point(30_000, 30_000, { large: '0123456789abcdef'.repeat(6 << 16) });
  await step('upsert 6 MiB in one point', UNSAFE, () => client.upsert(ITEMS, { wait, points: [large] }));
  await step('read 6 MiB in one point', READ, () => client.retrieve(ITEMS, { ids: [30_000] }));
}

// 16 callers share the client.
async function parallel() {
  const together = (work) => Promise.all(Array.from({ length: 16 }, (_, worker) => work(worker)));
  await step('parallel reads', READ, () =>
    together(async (worker) => {
      let answer;
      for (let i = 0; i < 10; i++) answer = await client.query(ITEMS, { query: vector(worker * 10 + i) });
      return answer.points[0].id;
    }),
  );
  await step('parallel writes', WRITE, () =>
    together((worker) => {
      const points = Array.from({ length: 10 }, (_, i) => point(40_000 + worker * 10 + i));
      return patiently(() => client.upsert(ITEMS, { wait, points }));
    }),
  );
  await step('count after parallel writes', READ, () => count());
}

// A pause, and a call that is given up.
async function patience() {
  await step('query after a pause', READ, async () => {
    await pause(1000 * Number(process.env.SDK_IDLE_SECONDS ?? '2'));
    return client.query(ITEMS, { query: vector(3) });
  });
  const searches = Array.from({ length: 300 }, (_, i) => ({ query: vector(i), params: { exact: true } }));
  const hasty = new QdrantClient({ url, timeout: 30, checkCompatibility: false });
  await step('timeout', READ, async () => (await hasty.queryBatch(ITEMS, { searches })).length);
  await step('count after giving up', READ, () => count());
}

async function farewell() {
  for (const name of [ITEMS, NAMED]) {
    await step(`delete collection ${name}`, UNSAFE, () => client.deleteCollection(name));
  }
  await step('delete collection: none', UNSAFE, () => client.deleteCollection(GHOST));
}

// One call of each kind, for a runner that counts what reaches Qdrant. Steps are named as paths end; none is repeated.
async function attempts() {
  await step('query', READ, () => client.query(ITEMS, { query: vector(1) }));
  await step('payload', READ, () => client.setPayload(ITEMS, { payload: { a: 1 }, points: [1] }));
  await step(ITEMS, READ, () => client.createCollection(ITEMS, { vectors: { size: 2, distance: 'Dot' } }));
}

const { version } = JSON.parse(
  readFileSync(new URL('node_modules/@qdrant/js-client-rest/package.json', import.meta.url), 'utf8'),
);
report({ sdk: '@qdrant/js-client-rest', version, runtime: `Node ${process.versions.node}` });
const parts =
  process.env.SDK_MODE === 'attempts'
    ? [attempts]
    : [clear, schema, load, queries, scrolls, edits, aliases, snapshots, mistakes, parallel, patience, farewell];
for (const part of parts) await part();
