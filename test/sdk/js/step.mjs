// What is the same for every step: making the call, and printing the line that the runner reads.

import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { ConnectError, ConnectErrorCode } from '@qdrant/js-client-grpc';

export const READ = 'read'; // must succeed
export const WRITE = 'write'; // idempotent: must succeed
export const UNSAFE = 'unsafe'; // may fail when the wire fails, and is then repeated by the user

const MAX_REPEATS = 20;
const REPEAT_PAUSE = 50; // milliseconds
const MAX_RESULT = 300; // characters of a result that are shown

export const report = (line) => process.stdout.write(JSON.stringify(line) + '\n');

/**
 * Makes a call and reports its outcome. An unsafe call that failed because Qdrant was out of reach is made again, as a
 * user would: the steps after it need what it does.
 */
export async function step(name, kind, call) {
  const line = { step: name, kind, ok: false };
  const repeats = [];
  const start = performance.now();
  for (;;) {
    try {
      const text = JSON.stringify(canonical(await call()) ?? null);
      line.ok = true;
      line.result = text.slice(0, MAX_RESULT);
      line.digest = createHash('sha256').update(text).digest('hex').slice(0, 16);
    } catch (error) {
      const isOutOfReach = error.code === ConnectErrorCode.Unavailable || error.status === 503;
      if (kind === UNSAFE && isOutOfReach && repeats.length < MAX_REPEATS) {
        repeats.push(describe(error).message);
        await pause(REPEAT_PAUSE);
        continue;
      }
      line.error = describe(error);
    }
    break;
  }
  line.ms = Math.round((performance.now() - start) * 1000) / 1000;
  if (repeats.length > 0) line.repeats = repeats;
  report(line);
}

function describe(error) {
  if (error.status) {
    // Over REST. What went wrong is in the body, beside how long that took.
    const message = error.data?.status?.error ?? error.statusText;
    return { type: error.name, code: `${error.status}`, message: String(message) };
  }
  const isConnect = error instanceof ConnectError;
  const code = isConnect ? ConnectErrorCode[error.code] : String(error.cause?.code ?? '');
  // Who notices first that a call is given up, the client or the server, is a race.
  const message = code === 'Canceled' || code === 'DeadlineExceeded' ? '' : String(error.message);
  return { type: error.constructor.name, code, message };
}

/**
 * A result as plain data with sorted keys, without what differs between equal runs: times, and the numbers of
 * operations and versions of points, in which a write that had to be repeated counts twice.
 */
function canonical(result) {
  if (typeof result === 'bigint') return `${result}`;
  if (ArrayBuffer.isView(result)) return Array.from(result);
  if (Array.isArray(result)) return result.map(canonical);
  if (result === null || typeof result !== 'object') return result;
  const skipped = ['$typeName', '$unknown', 'time', 'usage', 'operationId', 'operation_id', 'id' in result ? 'version' : ''];
  const keys = Object.keys(result).filter((key) => !skipped.includes(key)).sort();
  return Object.fromEntries(keys.map((key) => [key, canonical(result[key])]));
}
