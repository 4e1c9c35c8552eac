// A client of postgres.js with several connections searches a list of them for every statement. The list grows with
// every statement while some connection is never idle.
// Our measure is the pool of src/db/pool.ts, of clients with one connection each. Without the fault one client can have
// all connections.
import { check, client } from './kit.ts'
import { serve } from './server.ts'

const STATEMENTS = 2000
const CONNECTIONS = 2

await check(async () => {
  let longest = 0
  const { indexOf } = Array.prototype
  Array.prototype.indexOf = function (this: unknown[], ...wanted) {
    longest = Math.max(longest, this.length)
    return indexOf.apply(this, wanted)
  }
  const sql = client({ port: await serve(() => ({ rows: ['1'] })), max: CONNECTIONS })
  let left = STATEMENTS
  const one = async () => {
    while (left-- > 0) await sql.unsafe('select 1')
  }
  await Promise.all(Array.from({ length: 8 * CONNECTIONS }, one))
  if (longest < STATEMENTS / 10) return undefined
  return `after ${STATEMENTS} statements it searches ${longest} places for one of ${CONNECTIONS} connections`
})
