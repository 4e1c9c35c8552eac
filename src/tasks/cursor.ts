import { hash } from 'node:crypto'
import { isDateTime, isText } from '../http/formats.ts'
import { Problem } from '../http/problems.ts'
import { DEFAULT_LIMIT, DEFAULT_SORT, type TaskQuery } from './schemas.ts'

/** Where a page ended: the id of its last task, and what it is sorted by; empty by creation, and for no `dueAt`. */
export interface Position {
  id: string
  key: string
}

const DIGEST_BYTES = 8
const KEY_START = DIGEST_BYTES + 16

/**
 * The cursor of a position in a list: base64url of a digest, the id and the key. The digest binds it to the filter and
 * the order of the list. It needs no secret: a cursor that somebody makes up only ever pages through what is their own.
 */
export function writeCursor(query: TaskQuery, { id, key }: Position): string {
  const { sort = DEFAULT_SORT, completed, q, dueBefore, dueAfter } = query
  const bound = JSON.stringify([sort, completed, q, dueBefore, dueAfter, id, key])
  return Buffer.concat([
    hash('sha256', bound, 'buffer').subarray(0, DIGEST_BYTES),
    Buffer.from(id.replaceAll('-', ''), 'hex'),
    Buffer.from(key)
  ]).toString('base64url')
}

/** The position that a cursor stands for. It throws `validation_failed` for one that is not of this list. */
export function readCursor(query: TaskQuery, cursor: string): Position {
  const bytes = Buffer.from(cursor, 'base64url')
  const id = bytes
    .toString('hex', DIGEST_BYTES, KEY_START)
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  const position = { id, key: bytes.toString('utf8', KEY_START) }
  // Written again it is the same, or there was something else in it than what we write.
  if (bytes.length < KEY_START || !fits(query, position.key) || writeCursor(query, position) !== cursor) {
    const detail = 'must be from the Link of a page with the same filter and sort'
    throw new Problem('validation_failed', [{ in: 'query', pointer: '/cursor', detail }])
  }
  return position
}

/** Whether PostgreSQL takes the key for what the list is sorted by. */
function fits({ sort = DEFAULT_SORT }: TaskQuery, key: string): boolean {
  return key === '' || (sort.endsWith('title') ? isText(key) : isDateTime(key))
}

/**
 * How long a `Link` with two targets may be. Proxies take few kilobytes of header (nginx 4 KiB unless told otherwise),
 * and each target has a percent-encoded `q`.
 */
const LINK_MAX = 2048

/**
 * The `Link` of a page (RFC 8288): the next one while there is more, and the first unless both are too long together.
 * They keep everything that was asked for.
 *
 * @param path of the list
 * @param next the cursor of the next page
 */
export function pageLinks(path: string, query: TaskQuery, next: string | null): string {
  const { limit = DEFAULT_LIMIT, sort = DEFAULT_SORT, completed, q, dueBefore, dueAfter, count } = query
  let first = `${path}?limit=${limit}`
  if (sort !== DEFAULT_SORT) first += `&sort=${sort}`
  if (completed !== undefined) first += `&completed=${completed}`
  if (q !== undefined) first += `&q=${encodeURIComponent(q)}`
  if (dueBefore !== undefined) first += `&dueBefore=${encodeURIComponent(dueBefore)}`
  if (dueAfter !== undefined) first += `&dueAfter=${encodeURIComponent(dueAfter)}`
  if (count !== undefined) first += `&count=${count}`
  const links = `<${first}>; rel="first"`
  if (next === null) return links
  const following = `<${first}&cursor=${next}>; rel="next"`
  return following.length + links.length > LINK_MAX ? following : `${following}, ${links}`
}
