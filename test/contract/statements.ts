import { Socket } from 'node:net'
import { getTableName } from 'drizzle-orm'
import type { OwnedTable } from '../../src/db/owned.ts'

/** A statement as it left for the database, with its parameters as text. */
export interface Statement {
  text: string
  parameters: (string | null)[]
}

const PROTOCOL_3 = 196_608
const SERVICE = 'application_name\0rowkeeper\0'

const watchers = new Set<(statement: Statement) => void>()

/** Calls `watcher` for every statement that the service sends from this process; returns what ends that. */
export function watchStatements(watcher: (statement: Statement) => void): () => void {
  watchers.add(watcher)
  return () => watchers.delete(watcher)
}

/** Reads what a client writes (PostgreSQL, chapter "Message Formats"). */
class Reader {
  #rest = Buffer.alloc(0)
  readonly #texts = new Map<string, string>()

  read(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes])
    while (this.#rest.length >= 5) {
      const length = this.#rest.readInt32BE(1) + 1
      if (this.#rest.length < length) return
      this.#message(String.fromCharCode(this.#rest[0] ?? 0), this.#rest.subarray(5, length))
      this.#rest = this.#rest.subarray(length)
    }
  }

  #message(type: string, body: Buffer): void {
    let at = 0
    const text = () => {
      const start = at
      at = body.indexOf(0, at) + 1
      return body.toString('utf8', start, at - 1)
    }
    const int16 = () => {
      at += 2
      return body.readInt16BE(at - 2)
    }
    const value = () => {
      const length = body.readInt32BE(at)
      const start = at + 4
      at = start + Math.max(length, 0)
      return length < 0 ? null : body.toString('utf8', start, at)
    }
    if (type === 'Q') this.#report({ text: text(), parameters: [] })
    if (type === 'P') this.#texts.set(text(), text())
    if (type === 'B') {
      text()
      const statement = this.#texts.get(text()) ?? 'a statement that was never parsed'
      const formats = int16()
      at += 2 * formats
      this.#report({ text: statement, parameters: Array.from({ length: int16() }, value) })
    }
  }

  #report(statement: Statement): void {
    for (const watcher of watchers) watcher(statement)
  }
}

// The audit is at the socket, because every statement passes it. The driver may have other callers than Drizzle.
const readers = new WeakMap<Socket, Reader>()
const write = Socket.prototype.write
Socket.prototype.write = function (this: Socket, chunk: unknown, ...rest: unknown[]) {
  if (Buffer.isBuffer(chunk)) {
    const reader = readers.get(this)
    if (reader !== undefined) reader.read(chunk)
    else if (chunk.length > 8 && chunk.readInt32BE(4) === PROTOCOL_3 && chunk.includes(SERVICE)) {
      readers.set(this, new Reader())
    }
  }
  return write.call(this, chunk as string, ...(rest as []))
} as typeof write

/** The text up to the parenthesis that closes its level. Text in parentheses of its own is blanked out. */
function level(text: string): string {
  let blanked = ''
  let depth = 0
  for (const character of text) {
    if (character === ')' && depth-- === 0) break
    blanked += depth === 0 ? character : '·'
    if (character === '(') depth++
  }
  return blanked
}

const END = /^(?:$|\)| returning | order by | limit | for update)/

/**
 * The number of the parameter that a WHERE binds the owner to. It is undefined unless the owner's filter comes first
 * and no other condition can widen it.
 */
function ownerOf(where: string, table: string): number | undefined {
  const [start, open, number] = new RegExp(`^where (\\()?"${table}"\\."user_id" = \\$(\\d+)`).exec(where) ?? []
  if (start === undefined) return undefined
  let rest = where.slice(start.length)
  if (open !== undefined) {
    // Each of the other conditions is in parentheses.
    const beside = level(rest)
    if (!/^(?: and \(·*\))+$/.test(beside)) return undefined
    rest = rest.slice(beside.length + 1)
  }
  return END.test(rest) ? Number(number) : undefined
}

/** The statement that names the owner of a transaction for row-level security, with its lock. */
const SET_OWNER =
  /^select set_config\('rowkeeper\.owner', \$(\d+), true\), pg_try_advisory_xact_lock\(hashtextextended\(\$\d+, 0\)\) as free$/

/** The same where docs/citus.sql was run: with the lock, or before a statement. */
const CALL_OWNER =
  /^select rowkeeper_name_owner\(\$(\d+)\)(?:, pg_try_advisory_xact_lock\(hashtextextended\(\$\d+, 0\)\) as free)?$/

/** How other statements name it: by a condition, or as the owner of a new row. */
const NAMES_OWNER =
  /\(select set_config\('rowkeeper\.owner', \$(\d+), true\)\) is not null|(?<= values \(|\) select )set_config\('rowkeeper\.owner', \$(\d+), true\)/g

/** The statements without an owner: retention deletes a portion of the expired rows, and returns nothing of them. */
const RETENTION = [
  { table: 'idempotency_keys', expired: `"idempotency_keys"."created_at" < now() - interval '24 hours'` },
  { table: 'feeds', expired: `"feeds"."expires_at" < now()` },
  { table: 'changes', expired: `"changes"."created_at" < now() - interval '24 hours'` }
].map(
  ({ table, expired }) =>
    `delete from "${table}" where ${expired} and ctid = any(array(select ctid from (` +
    'select ctid, sum(bytes) over (rows unbounded preceding) - bytes as before from (' +
    `select ctid, SIZE as bytes from "${table}" where ${expired} limit 1000 for update skip locked` +
    ') locked) summed where before < 16777216)) returning 1'
)
const SIZE = /28(?: \+ coalesce\(pg_column_size\("\w+"\."\w+"\), 0\))+/

/** The rest of an insert of one row, and the rest of one from the room that was taken for it, by `level`. */
const ONE_ROW =
  /^ \("user_id"[^)]*\) values \(\$(\d+)[,)](?!.*(?:\), ?\(| on conflict (?!(?:\("[\w", ]+"\) )?do nothing)))/
const FROM_ROOM =
  /^ \(·+\) select \$(\d+), (?:(?! from ).)* from room(?: on conflict \(·+\) do nothing)?(?: returning |$)/

/** The number of the parameter of the owner in an insert of one row, whose first column the owner must be. */
function insertedOwnerOf(after: string): number | undefined {
  const row = ONE_ROW.exec(after) ?? (after.startsWith(' ("user_id"') ? FROM_ROOM.exec(level(after)) : null)
  return row === null ? undefined : Number(row[1])
}

const DEFINITION = /^\s*(?:create|alter) /i

const ADVICE =
  'Send it through app.owned (src/db/owned.ts), for a verified caller whose request is in flight: ' +
  "the statement then carries the owner's filter and passes."

/**
 * Why a statement must not have been sent, and how to write one that passes; undefined for a good statement. Wherever
 * it names one of the owned `tables`, it must be bound to one of the `callers` whose requests are in flight.
 */
export function violation(
  statement: Statement,
  callers: Iterable<string>,
  tables: readonly OwnedTable[]
): string | undefined {
  const problem = problemOf(statement, new Set(callers), tables)
  return problem === undefined ? undefined : `${problem}\n${ADVICE}`
}

/**
 * What a statement must fulfil: that a parameter is a caller, or that nobody calls, because migrations run without a
 * request. A text is a fault of the statement, whoever calls.
 */
type Demand = { owner: number; how: string } | 'no callers' | string

/** The demands on each statement, by the names of the tables and its text. The same texts are sent again and again. */
const known = new Map<string, Map<string, Demand[]>>()

function demandsOn(text: string, tables: readonly OwnedTable[]): Demand[] {
  const names = tables.map(getTableName)
  const key = names.join()
  const byText = known.get(key) ?? new Map<string, Demand[]>()
  known.set(key, byText)
  const demands = byText.get(text) ?? [...findDemands(text, names)]
  byText.set(text, demands)
  return demands
}

function problemOf({ text, parameters }: Statement, verified: Set<unknown>, tables: readonly OwnedTable[]) {
  for (const demand of demandsOn(text, tables)) {
    if (demand === 'no callers') {
      if (verified.size === 0) return undefined
    } else if (typeof demand === 'string') return demand
    else {
      const owner = parameters[demand.owner - 1]
      if (!verified.has(owner)) return `${demand.how} is bound to ${owner}, who has no request in flight: ${text}`
    }
  }
  return undefined
}

function* findDemands(whole: string, tables: readonly string[]): Generator<Demand> {
  const sent = whole.replaceAll(NAMES_OWNER, (_match, _condition, value) =>
    value === undefined ? 'true' : `$${value}`
  )
  // A literal could contain text that looks like a filter.
  const text = sent.replaceAll(/'(?:[^']|'')*'/g, "''")
  const bound = (owner: number | undefined, how: string): Demand =>
    owner === undefined ? `${how} is not bound to an owner: ${text}` : { owner, how }
  for (const [, condition, value] of whole.matchAll(NAMES_OWNER)) {
    yield bound(Number(condition ?? value), 'row-level security')
  }
  if (DEFINITION.test(text)) yield 'no callers'
  if (/rowkeeper"?\s*\.\s*"?owner|set_config|rowkeeper_name_owner/i.test(sent)) {
    const statement = sent.trim().replaceAll(/\s+/g, ' ')
    const [, number] = SET_OWNER.exec(statement) ?? CALL_OWNER.exec(statement) ?? []
    yield bound(number === undefined ? undefined : Number(number), 'row-level security')
    return
  }
  if (RETENTION.includes(sent.replace(SIZE, 'SIZE'))) return
  for (const table of tables) {
    if (new RegExp(`\\b${table}\\b`, 'i').test(text) && /--|\/\*|;/.test(text)) yield `it hides something: ${sent}`
    for (const { 0: found, 1: verb, index } of text.matchAll(new RegExp(`(\\w+ )?"?\\b${table}\\b"?(?!"?\\.)`, 'gi'))) {
      const after = text.slice(index + found.length)
      if (verb === 'into ') yield bound(insertedOwnerOf(after), 'its insert')
      else if (verb === 'from ') yield bound(ownerOf(after.trimStart(), table), 'its WHERE')
      else if (verb === 'update ') {
        const set = level(after).split(' where ')[0] ?? ''
        if (/\buser_id\b/.test(after.slice(0, set.length))) yield `an owner is changed: ${text}`
        yield bound(ownerOf(after.slice(set.length + 1), table), 'its WHERE')
      } else yield `${table} is named where no owner can be bound: ${text}`
    }
  }
}
