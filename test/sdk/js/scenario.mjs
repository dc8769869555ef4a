// The scenario of the JavaScript SDK for gRPC, written as one of its users would write it. The runner in test/sdk starts
// it with the address in SDK_TARGET and reads a JSON line for each step from its standard output.

import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Direction, Distance, FieldType, Fusion, MultiVectorComparator, QdrantClient, Sample } from '@qdrant/js-client-grpc';
import {
  DIMENSIONS, GHOST, ITEMS, NAMED, OTHER_UUID, POINTS, SOME_UUID,
  books, dense, field, filtered, hasId, id, ids, input, integer, keyword, match, multi, must, namedVectors, near, nearest,
  payload, point, selected, sparse, vector, withPayload, withVectors,
} from './data.mjs';
import { READ, UNSAFE, WRITE, report, step } from './step.mjs';

const client = new QdrantClient({ url: `http://${process.env.SDK_TARGET}` });
const points = client.api('points');
const collections = client.api('collections');
const snapshots = client.api('snapshots');
const wait = true;

// Removes what an earlier run may have left. It is no step.
async function clear() {
  for (const collectionName of [ITEMS, NAMED]) {
    for (let i = 0; i < 20; i++) {
      try {
        if (!(await collections.collectionExists({ collectionName })).result.exists) break;
        await collections.delete({ collectionName });
      } catch {
        // asked again above
      }
    }
  }
}

async function schema() {
  const create = {
    collectionName: ITEMS,
    vectorsConfig: { config: { case: 'params', value: { size: BigInt(DIMENSIONS), distance: Distance.Cosine } } },
  };
  const exists = () => collections.collectionExists({ collectionName: ITEMS });
  await step('health check', UNSAFE, () => client.api('service').healthCheck({}));
  await step('collection exists: no', READ, exists);
  await step('create collection', UNSAFE, () => collections.create(create));
  await step('create collection with named vectors', UNSAFE, () =>
    collections.create({
      collectionName: NAMED,
      vectorsConfig: {
        config: {
          case: 'paramsMap',
          value: {
            map: {
              text: { size: 3n, distance: Distance.Dot },
              words: {
                size: 2n,
                distance: Distance.Cosine,
                multivectorConfig: { comparator: MultiVectorComparator.MaxSim },
              },
            },
          },
        },
      },
      sparseVectorsConfig: { map: { terms: {} } },
    }),
  );
  await step('create collection: exists', UNSAFE, () => collections.create(create));
  await step('collection exists: yes', READ, exists);
  await step('list collections', READ, () => collections.list({}));
  await step('update collection', WRITE, () =>
    collections.update({ collectionName: ITEMS, optimizersConfig: { indexingThreshold: 20000n } }),
  );
  await step('collection info', READ, async () => (await collections.get({ collectionName: NAMED })).result.config);
  const indexes = {
    color: FieldType.FieldTypeKeyword,
    n: FieldType.FieldTypeInteger,
    price: FieldType.FieldTypeFloat,
    'shop.at': FieldType.FieldTypeGeo,
    since: FieldType.FieldTypeDatetime,
    text: FieldType.FieldTypeText,
  };
  for (const [fieldName, fieldType] of Object.entries(indexes)) {
    await step(`index ${fieldName}`, WRITE, () =>
      points.createFieldIndex({ collectionName: ITEMS, wait, fieldName, fieldType }),
    );
  }
}

async function load() {
  const batch = 100;
  await step('upsert 10,000 points', WRITE, async () => {
    const statuses = [];
    for (let first = 0; first < POINTS; first += batch) {
      const list = Array.from({ length: batch }, (_, i) => point(first + i));
      statuses.push((await points.upsert({ collectionName: ITEMS, wait, points: list })).result.status);
    }
    return statuses;
  });
  await step('upsert a UUID', WRITE, () =>
    points.upsert({ collectionName: ITEMS, wait, points: [point(10_001, SOME_UUID)] }),
  );
  await step('upsert named vectors', WRITE, () => points.upsert({ collectionName: NAMED, wait, points: books() }));
  await step('upsert without waiting', WRITE, () => points.upsert({ collectionName: ITEMS, points: [point(1)] }));
}

const query = (name, request) =>
  step(`query ${name}`, READ, () => points.query({ collectionName: ITEMS, ...request }));

async function queries() {
  await query('nearest', { query: near(77) });
  await query('by id', { query: nearest(input.id(5)), limit: 3n });
  await query('with everything', {
    query: near(77), limit: 3n, offset: 1n, scoreThreshold: 0.5, params: { exact: true, hnswEf: 64n },
    withPayload, withVectors,
  });
  await query('filtered', {
    query: near(77),
    withPayload: { selectorOptions: { case: 'include', value: { fields: ['n', 'color'] } } },
    filter: {
      must: [field('price', { range: { gte: 10, lt: 50 } })],
      should: [keyword('color', 'red'), match('sold', { case: 'boolean', value: true })],
      mustNot: [hasId(1, 2, 3), match('tags', { case: 'keywords', value: { strings: ['t0', 't1'] } })],
    },
  });
  await query('filtered by place, time and text', {
    query: near(77),
    filter: must(
      field('shop.at', { geoRadius: { center: { lat: 47.5, lon: 8.5 }, radius: 10_000 } }),
      field('since', { datetimeRange: { gte: { seconds: 1704844800n } } }),
      match('text', { case: 'text', value: 'number' }),
      {
        conditionOneOf: {
          case: 'filter',
          value: {
            minShould: {
              minCount: 1n,
              conditions: [
                { conditionOneOf: { case: 'isEmpty', value: { key: 'nothing' } } },
                { conditionOneOf: { case: 'isNull', value: { key: 'color' } } },
              ],
            },
          },
        },
      },
    ),
  });
  await query('named vector', { collectionName: NAMED, using: 'text', query: nearest(input.dense([1, 2, 3])) });
  await query('sparse vector', { collectionName: NAMED, using: 'terms', query: nearest(input.sparse([7, 42], [1, 1])) });
  await query('multivector', { collectionName: NAMED, using: 'words', query: nearest(input.multi([1, 0], [0, 1])) });
  await query('recommend', {
    query: { variant: { case: 'recommend', value: { positive: [input.id(1)], negative: [input.dense(vector(2))] } } },
  });
  await query('fusion', {
    collectionName: NAMED,
    prefetch: [
      { using: 'text', query: nearest(input.dense([1, 3, 0])), limit: 5n },
      { using: 'terms', query: nearest(input.sparse([7], [1])), limit: 5n },
    ],
    query: { variant: { case: 'fusion', value: Fusion.RRF } },
  });
  await query('order by', { query: { variant: { case: 'orderBy', value: { key: 'n', direction: Direction.Desc } } } });
  await query('discover', {
    query: {
      variant: {
        case: 'discover',
        value: { target: input.dense(vector(9)), context: { pairs: [{ positive: input.id(1), negative: input.id(2) }] } },
      },
    },
  });
}

async function moreQueries() {
  await query('formula', {
    prefetch: [{ query: near(77) }],
    query: {
      variant: {
        case: 'formula',
        value: {
          expression: {
            variant: {
              case: 'sum',
              value: { sum: [{ variant: { case: 'variable', value: '$score' } }, { variant: { case: 'constant', value: 1 } }] },
            },
          },
        },
      },
    },
  });
  await step('query sample', READ, async () => {
    const sample = { variant: { case: 'sample', value: Sample.Random } };
    return (await points.query({ collectionName: ITEMS, query: sample, limit: 4n })).result.length;
  });
  await step('query batch', READ, () =>
    points.queryBatch({
      collectionName: ITEMS,
      queryPoints: [
        { collectionName: ITEMS, query: near(77), limit: 2n },
        { collectionName: ITEMS, filter: must(integer('n', 20)) },
      ],
    }),
  );
  await step('query groups', READ, () =>
    points.queryGroups({ collectionName: ITEMS, query: near(77), groupBy: 'color', groupSize: 2n, limit: 3n }),
  );
  await step('facet', READ, () => points.facet({ collectionName: ITEMS, key: 'color', exact: true }));
  const few = { collectionName: ITEMS, sample: 3n, limit: 2n, filter: must(hasId(1, 2, 3)) };
  await step('distance matrix, pairs', READ, () => points.searchMatrixPairs(few));
  await step('distance matrix, offsets', READ, () => points.searchMatrixOffsets(few));
}

const count = (filter) => points.count({ collectionName: ITEMS, exact: true, filter });

async function scrolls() {
  await step('count', READ, () => count());
  await step('count filtered', READ, () => count(must(keyword('color', 'red'))));
  await step('retrieve', READ, () =>
    points.get({ collectionName: ITEMS, ids: ids(1, 99_999, SOME_UUID), withPayload, withVectors }),
  );
  await step('scroll to the end', READ, async () => {
    const seen = [];
    let offset;
    do {
      const page = await points.scroll({ collectionName: ITEMS, limit: 1000, offset, withPayload });
      seen.push(...page.result.map((each) => each.id.pointIdOptions.value));
      offset = page.nextPageOffset;
    } while (offset);
    return seen;
  });
  await step('scroll ordered', READ, () =>
    points.scroll({
      collectionName: ITEMS,
      limit: 5,
      orderBy: { key: 'n', startFrom: { value: { case: 'integer', value: 4321n } } },
    }),
  );
}

async function payloads() {
  const to = { collectionName: ITEMS, wait };
  await step('set payload', WRITE, () =>
    points.setPayload({ ...to, payload: payload({ sale: true }), pointsSelector: selected(1, 2) }),
  );
  await step('set payload by filter', UNSAFE, () =>
    points.setPayload({ ...to, payload: payload({ lucky: 'yes' }), pointsSelector: filtered(integer('n', 7)) }),
  );
  await step('overwrite payload', WRITE, () =>
    points.overwritePayload({ ...to, payload: payload({ color: 'weiß', n: 3n }), pointsSelector: selected(3) }),
  );
  await step('delete payload', WRITE, () =>
    points.deletePayload({ ...to, keys: ['price', 'text'], pointsSelector: selected(4) }),
  );
  await step('clear payload', WRITE, () => points.clearPayload({ ...to, points: selected(5) }));
  await step('payloads after edits', READ, () =>
    points.get({ collectionName: ITEMS, ids: ids(1, 2, 3, 4, 5, 7), withPayload }),
  );
}

async function vectors() {
  await step('update vectors', WRITE, () =>
    points.updateVectors({
      collectionName: NAMED,
      wait,
      points: [{ id: id(3), vectors: namedVectors({ terms: sparse([3], [1]) }) }],
    }),
  );
  await step('delete vectors', WRITE, () =>
    points.deleteVectors({
      collectionName: NAMED, wait, pointsSelector: selected(OTHER_UUID), vectors: { names: ['words'] },
    }),
  );
  await step('vectors after edits', READ, () => points.scroll({ collectionName: NAMED, withVectors }));
}

async function batches() {
  const to = { collectionName: ITEMS, wait };
  const operation = (name, value) => ({ operation: { case: name, value } });
  // Unsafe, because it deletes beside other changes.
  await step('update batch', UNSAFE, () =>
    points.updateBatch({
      ...to,
      operations: [
        operation('upsert', { points: [point(20_000)] }),
        operation('setPayload', { payload: payload({ color: 'black' }), pointsSelector: selected(20_000) }),
        operation('deletePoints', { points: selected(10) }),
      ],
    }),
  );
  await step('delete by ids', WRITE, () => points.delete({ ...to, points: selected(11, 12, 99_999) }));
  await step('delete by filter', UNSAFE, () =>
    points.delete({ ...to, points: filtered(field('n', { range: { gte: 9000, lt: 9100 } })) }),
  );
  await step('delete index', WRITE, () => points.deleteFieldIndex({ ...to, fieldName: 'since' }));
  await step('count after deletes', READ, () => count());
}

async function aliases() {
  const change = (...actions) =>
    collections.updateAliases({ actions: actions.map(([name, value]) => ({ action: { case: name, value } })) });
  const create = (aliasName, collectionName) => ['createAlias', { aliasName, collectionName }];
  const remove = ['deleteAlias', { aliasName: 'sdk-renamed' }];
  await step('create alias', UNSAFE, () => change(create('sdk-alias', ITEMS)));
  await step('count by alias', READ, () => points.count({ collectionName: 'sdk-alias', exact: true }));
  await step('rename alias', UNSAFE, () =>
    change(['renameAlias', { oldAliasName: 'sdk-alias', newAliasName: 'sdk-renamed' }]),
  );
  await step('switch alias', UNSAFE, () => change(remove, create('sdk-renamed', NAMED)));
  await step('list aliases', READ, () => collections.listAliases({}));
  await step('list aliases of a collection', READ, () => collections.listCollectionAliases({ collectionName: NAMED }));
  await step('delete alias', UNSAFE, () => change(remove));
  await step('alias of nothing', UNSAFE, () => change(create('sdk-alias', GHOST)));
}

// Their names have the time in them.
async function takeSnapshots() {
  let snapshotName = '';
  await step('create snapshot', UNSAFE, async () => {
    snapshotName = (await snapshots.create({ collectionName: NAMED })).snapshotDescription.name;
  });
  await step('list snapshots', READ, async () => {
    return (await snapshots.list({ collectionName: NAMED })).snapshotDescriptions.length > 0;
  });
  await step('delete snapshot', UNSAFE, () => snapshots.delete({ collectionName: NAMED, snapshotName }));
  await step('list full snapshots', READ, async () => (await snapshots.listFull({})).snapshotDescriptions.length);
}

async function mistakes() {
  await query('of a collection that is not there', { collectionName: GHOST, query: near(1) });
  await query('near a point that is not there', { query: nearest(input.id(99_999)) });
  await query('of a vector that is not there', { collectionName: NAMED, using: 'nope', query: near(1) });
  const short = { ...point(1), vectors: { vectorsOptions: { case: 'vector', value: dense([1, 2]) } } };
  await step('mistake: wrong dimension', WRITE, () => points.upsert({ collectionName: ITEMS, wait, points: [short] }));
  await step('mistake: invalid request', READ, () => points.scroll({ collectionName: ITEMS, limit: 0 }));
  await step('mistake: upsert nowhere', WRITE, () => points.upsert({ collectionName: GHOST, wait, points: [point(1)] }));
  const large = point(30_000, 30_000, { large: '0123456789abcdef'.repeat(6 << 16) });
  // The sidecar stores, and repeats, requests up to 4 MiB.
  await step('upsert 6 MiB in one point', UNSAFE, () => points.upsert({ collectionName: ITEMS, wait, points: [large] }));
  await step('read 6 MiB in one point', READ, () => points.get({ collectionName: ITEMS, ids: ids(30_000), withPayload }));
}

// 16 callers share the client.
async function parallel() {
  const together = (work) => Promise.all(Array.from({ length: 16 }, (_, worker) => work(worker)));
  await step('parallel reads', READ, () =>
    together(async (worker) => {
      let answer;
      for (let i = 0; i < 10; i++) {
        answer = await points.query({ collectionName: ITEMS, query: near(worker * 10 + i) });
      }
      return answer.result[0].id;
    }),
  );
  await step('parallel writes', WRITE, () =>
    together((worker) => {
      const list = Array.from({ length: 10 }, (_, i) => point(40_000 + worker * 10 + i));
      return points.upsert({ collectionName: ITEMS, wait, points: list });
    }),
  );
  await step('count after parallel writes', READ, () => count());
}

// A pause, and calls that are given up.
async function patience() {
  await step('query after a pause', READ, async () => {
    await pause(1000 * Number(process.env.SDK_IDLE_SECONDS ?? '2'));
    return points.query({ collectionName: ITEMS, query: near(3) });
  });
  const long = {
    collectionName: ITEMS,
    queryPoints: Array.from({ length: 300 }, (_, i) => ({
      collectionName: ITEMS, query: near(i), params: { exact: true },
    })),
  };
  await step('timeout', READ, async () => (await points.queryBatch(long, { timeoutMs: 30 })).result.length);
  // The SDK cancels calls by its own timeout only, and replaces the signal of a caller by that.
  const hasty = new QdrantClient({ url: `http://${process.env.SDK_TARGET}`, timeout: 30, checkCompatibility: false });
  await step('cancel', READ, async () => (await hasty.api('points').queryBatch(long)).result.length);
  await step('count after giving up', READ, () => count());
}

async function farewell() {
  for (const collectionName of [ITEMS, NAMED]) {
    await step(`delete collection ${collectionName}`, UNSAFE, () => collections.delete({ collectionName }));
  }
  await step('delete collection: none', UNSAFE, () => collections.delete({ collectionName: GHOST }));
}

// One call of each kind, of different methods, for a runner that counts what reaches Qdrant.
async function attempts() {
  await step('Query', READ, () => points.query({ collectionName: ITEMS, query: near(1) }));
  await step('SetPayload', WRITE, () => points.setPayload({ collectionName: ITEMS, pointsSelector: selected(1) }));
  await step('Create', READ, () => collections.create({ collectionName: ITEMS }));
}

const { version } = JSON.parse(
  readFileSync(new URL('node_modules/@qdrant/js-client-grpc/package.json', import.meta.url), 'utf8'),
);
report({ sdk: '@qdrant/js-client-grpc', version, runtime: `Node ${process.versions.node}` });
if (process.env.SDK_MODE === 'attempts') {
  await attempts();
} else {
  for (const part of [
    clear, schema, load, queries, moreQueries, scrolls, payloads, vectors, batches, aliases, takeSnapshots, mistakes,
    parallel, patience, farewell,
  ]) {
    await part();
  }
}
process.exit(0); // the SDK has no way to close its connection
