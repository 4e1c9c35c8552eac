import { hash } from 'node:crypto'
import { Problem } from '../http/problems.ts'
import { DEFAULT_LIMIT, DEFAULT_SORT, type Query } from './query.ts'
import type { Sort } from './sorts.ts'

/** Where a page ended: the id of its last item, and the text of what it is sorted by; null for no value. */
export interface Position {
  id: string
  key: string | null
}

/** A list that a cursor is for: its order, and the values of its filters, in the order of the declaration. */
export interface List {
  sort: Sort
  filters: readonly unknown[]
}

const DIGEST_BYTES = 8
const KEY_START = DIGEST_BYTES + 16

/** The most characters of a cursor, for the longest key of a resource. */
export const cursorLength = (sorts: readonly Sort[]) => {
  const keyBytes = Math.max(...sorts.map(({ key }) => key?.maxBytes ?? 0))
  return Math.ceil(((KEY_START + keyBytes) * 4) / 3)
}

// No value has U+0000, so it stands for the empty text, and the empty text for null.
const written = (key: string | null) => (key === '' ? '\0' : (key ?? ''))
const read = (key: string) => (key === '\0' ? '' : key === '' ? null : key)

/**
 * The cursor of a position in a list: base64url of a digest, the id and the key. The digest binds it to the filters and
 * the order of the list. It needs no secret: a cursor that somebody makes up only ever pages through what is their own.
 */
export function writeCursor({ sort, filters }: List, { id, key }: Position): string {
  const text = written(key)
  const bound = JSON.stringify([sort.name, ...filters, id, text])
  return Buffer.concat([
    hash('sha256', bound, 'buffer').subarray(0, DIGEST_BYTES),
    Buffer.from(id.replaceAll('-', ''), 'hex'),
    Buffer.from(text)
  ]).toString('base64url')
}

/** The position that a cursor stands for. It throws `validation_failed` for one that is not of this list. */
export function readCursor(list: List, cursor: string): Position {
  const bytes = Buffer.from(cursor, 'base64url')
  const id = bytes
    .toString('hex', DIGEST_BYTES, KEY_START)
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  const position = { id, key: read(bytes.toString('utf8', KEY_START)) }
  // Written again it is the same, or there was something else in it than what we write.
  if (bytes.length < KEY_START || !fits(list, position) || writeCursor(list, position) !== cursor) {
    const detail = 'must be from the Link of a page with the same filter and sort'
    throw new Problem('validation_failed', [{ in: 'query', pointer: '/cursor', detail }])
  }
  return position
}

/** Whether PostgreSQL takes the key for what the list is sorted by. */
const fits = ({ sort }: List, { key }: Position) =>
  sort.key === undefined ? key === null : key === null ? sort.key.member.nullable : sort.key.accepts(key)

/**
 * How long a `Link` with two targets may be. Proxies take few kilobytes of header (nginx 4 KiB unless told otherwise),
 * and each target has the percent-encoded filters.
 */
const LINK_MAX = 2048

/**
 * The `Link` of a page (RFC 8288): the next one while there is more, and the first unless both are too long together.
 * They keep everything that was asked for.
 *
 * @param path of the list
 * @param query that was asked for
 * @param filters of the resource, in the order of the declaration
 * @param next the cursor of the next page
 */
export function pageLinks(
  path: string,
  query: Query,
  filters: readonly { name: string }[],
  next: string | null
): string {
  const { limit = DEFAULT_LIMIT, sort = DEFAULT_SORT, count } = query
  let first = `${path}?limit=${limit}`
  if (sort !== DEFAULT_SORT) first += `&sort=${sort}`
  for (const { name } of filters) {
    const value = query[name]
    if (value === undefined) continue
    for (const one of Array.isArray(value) ? value : [value]) first += `&${name}=${encodeURIComponent(String(one))}`
  }
  if (count !== undefined) first += `&count=${count}`
  const links = `<${first}>; rel="first"`
  if (next === null) return links
  const following = `<${first}&cursor=${next}>; rel="next"`
  return following.length + links.length > LINK_MAX ? following : `${following}, ${links}`
}
