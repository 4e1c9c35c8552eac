import type { IncomingHttpHeaders } from 'node:http'
import { parseTags } from './entity-tag.ts'
import { Problem } from './problems.ts'

/** The versions that an update or a deletion may find: any of `only` unless null, and none of `except`. */
export interface VersionCondition {
  only: number[] | null
  except: number[] | null
}

const VERSION = /^"([1-9]\d{0,9})"$/
// PostgreSQL's integer; a greater one is nobody's version.
const MAX_VERSION = 2 ** 31 - 1

const versions = (tags: string[]) =>
  tags.map((tag) => Number(VERSION.exec(tag)?.[1])).filter((version) => version <= MAX_VERSION)

/** Of a request without preconditions. */
export const UNCONDITIONAL: VersionCondition = { only: null, except: null }

/**
 * The precondition of a PUT, PATCH or DELETE whose entity tags are versions: `If-Match` and `If-None-Match` (RFC 9110
 * sections 13.1.1, 13.1.2 and 13.2.2). `*` is any version. It throws
 * `bad_request` for a malformed field: what the client meant to prevent must not happen, and that the row has changed
 * would be untrue.
 */
export function versionCondition(headers: IncomingHttpHeaders): VersionCondition {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers
  if (match === undefined && noneMatch === undefined) return UNCONDITIONAL
  const only = match === undefined ? '*' : parseTags(match)
  const except = noneMatch === undefined ? [] : parseTags(noneMatch)
  if (only === undefined || except === undefined) throw new Problem('bad_request')
  // A row that is there has some version.
  if (except === '*') return { only: [], except: null }
  const excepted = versions(except)
  return {
    only: only === '*' ? null : versions(only),
    except: excepted.length === 0 ? null : excepted
  }
}
