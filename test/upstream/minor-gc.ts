// V8's minor collections do not free the statements of postgres.js: each one stays, with its rows, until a major one.
// The reason is the closures that resolve each `Query`, which is a promise itself.
// Our measure is the class `Query` of src/db/query.ts in its place. Without the fault `sql.unsafe` can replace it.
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { check, client } from './kit.ts'
import { serve } from './server.ts'

const ROUNDS = 40
const STATEMENTS = 50
const ROW = 'x'.repeat(1000)

setFlagsFromString('--expose-gc')
// The optimiser removes the closures in some rounds, which then leave nothing.
setFlagsFromString('--no-opt')
const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void

/** The bytes of the heap after two minor collections: an object that outlives both is in the old generation. */
function heldBytes(): number {
  for (let i = 0; i < 2; i++) collect({ type: 'minor' })
  return getHeapStatistics().used_heap_size
}

await check(async () => {
  const sql = client({ port: await serve(() => ({ rows: [ROW] })) })
  const left: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const before = heldBytes()
    for (let n = 0; n < STATEMENTS; n++) await sql.unsafe('select 1')
    left.push((heldBytes() - before) / STATEMENTS)
  }
  // A major collection now and then makes some rounds negative.
  const median = Math.round(left.sort((a, b) => a - b)[ROUNDS / 2] ?? 0)
  return median < ROW.length
    ? undefined
    : `a statement with ${ROW.length} bytes leaves ${median} after minor collections`
})
