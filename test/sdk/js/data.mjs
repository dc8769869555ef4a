// The points of every SDK's scenario, and short names for the messages that the SDK takes.

export const ITEMS = 'sdk-items'; // 10,000 points of one vector
export const NAMED = 'sdk-named'; // three points of several vectors
export const GHOST = 'sdk-ghost'; // never exists
export const DIMENSIONS = 32;
export const POINTS = 10_000;

export const SOME_UUID = '0c7b2a52-3c4d-4a53-9a51-25d7a2f8a001';
export const OTHER_UUID = '0c7b2a52-3c4d-4a53-9a51-25d7a2f8a002';

// No two vectors are alike, so that no two scores are.
export const vector = (i) =>
  Array.from({ length: DIMENSIONS }, (_, j) => ((i * 7919 + j * 104729 + i * j * 31) % 1000003) / 1000003);

export const id = (of) => ({
  pointIdOptions: typeof of === 'string' ? { case: 'uuid', value: of } : { case: 'num', value: BigInt(of) },
});
export const ids = (...list) => list.map(id);
export const selected = (...list) => ({ pointsSelectorOneOf: { case: 'points', value: { ids: ids(...list) } } });
export const filtered = (...conditions) => ({
  pointsSelectorOneOf: { case: 'filter', value: must(...conditions) },
});

export const dense = (data) => ({ vector: { case: 'dense', value: { data } } });
export const sparse = (indices, values) => ({ vector: { case: 'sparse', value: { indices, values } } });
export const multi = (...rows) => ({
  vector: { case: 'multiDense', value: { vectors: rows.map((data) => ({ data })) } },
});
export const namedVectors = (vectors) => ({ vectorsOptions: { case: 'vectors', value: { vectors } } });

const value = (of) => {
  if (of === null) return { kind: { case: 'nullValue', value: 0 } };
  if (Array.isArray(of)) return { kind: { case: 'listValue', value: { values: of.map(value) } } };
  switch (typeof of) {
    case 'string':
      return { kind: { case: 'stringValue', value: of } };
    case 'boolean':
      return { kind: { case: 'boolValue', value: of } };
    case 'bigint':
      return { kind: { case: 'integerValue', value: of } };
    case 'number':
      return { kind: { case: 'doubleValue', value: of } };
    default:
      return { kind: { case: 'structValue', value: { fields: payload(of) } } };
  }
};
export const payload = (of) => Object.fromEntries(Object.entries(of).map(([key, each]) => [key, value(each)]));

export const point = (i, as = i, more = {}) => ({
  id: id(as),
  vectors: { vectorsOptions: { case: 'vector', value: dense(vector(i)) } },
  payload: payload({
    n: BigInt(i),
    color: ['red', 'green', 'blue'][i % 3],
    price: ((i * 37) % 1000) / 8,
    sold: i % 2 === 0,
    tags: [`t${i % 5}`, 'all'],
    shop: { city: 'Zürich', at: { lat: 47 + (i % 100) / 100, lon: 8.5 } },
    since: `2024-01-${String((i % 28) + 1).padStart(2, '0')}T12:00:00Z`,
    text: `thing number ${i} of many`,
    ...more,
  }),
});

export const books = () => [
  {
    id: id(SOME_UUID),
    vectors: namedVectors({
      text: dense([1, 0, 0.5]),
      terms: sparse([1, 7, 42], [0.5, 1.5, 0.25]),
      words: multi([1, 0], [0.6, 0.8]),
    }),
    payload: payload({ title: 'Moby-Dick', year: 1851n }),
  },
  {
    id: id(OTHER_UUID),
    vectors: namedVectors({ text: dense([0.25, 1, 0]), terms: sparse([7, 9], [2, 1]), words: multi([0, 1]) }),
    payload: payload({ title: 'Emma', year: 1815n }),
  },
  {
    id: id(3),
    vectors: namedVectors({ text: dense([0.5, 0.5, 0.5]) }),
    payload: payload({ title: null, year: 1999n }),
  },
];

// Conditions.
export const must = (...conditions) => ({ must: conditions });
export const field = (key, condition) => ({ conditionOneOf: { case: 'field', value: { key, ...condition } } });
export const match = (key, matchValue) => field(key, { match: { matchValue } });
export const keyword = (key, wanted) => match(key, { case: 'keyword', value: wanted });
export const integer = (key, wanted) => match(key, { case: 'integer', value: BigInt(wanted) });
export const hasId = (...list) => ({ conditionOneOf: { case: 'hasId', value: { hasId: ids(...list) } } });

// Queries.
export const input = {
  id: (of) => ({ variant: { case: 'id', value: id(of) } }),
  dense: (data) => ({ variant: { case: 'dense', value: { data } } }),
  sparse: (indices, values) => ({ variant: { case: 'sparse', value: { indices, values } } }),
  multi: (...rows) => ({ variant: { case: 'multiDense', value: { vectors: rows.map((data) => ({ data })) } } }),
};
export const nearest = (of) => ({ variant: { case: 'nearest', value: of } });
export const near = (i) => nearest(input.dense(vector(i)));
export const withPayload = { selectorOptions: { case: 'enable', value: true } };
export const withVectors = { selectorOptions: { case: 'enable', value: true } };
