import type { IncomingHttpHeaders } from 'node:http'
import { parseTags } from './entity-tag.ts'
import { Problem } from './problems.ts'

/** The versions that a row may have to be updated or deleted: one of `only`, unless null, and none of `except`. */
export interface VersionCondition {
  only: number[] | null
  except: number[] | null
}

const VERSION = /^"([1-9]\d{0,9})"$/
// The largest integer of PostgreSQL. No row has a greater version.
const MAX_VERSION = 2 ** 31 - 1

const versions = (tags: string[]) =>
  tags.map((tag) => Number(VERSION.exec(tag)?.[1])).filter((version) => version <= MAX_VERSION)

/** The condition of a request without preconditions. */
export const UNCONDITIONAL: VersionCondition = { only: null, except: null }

/**
 * Parses the precondition of a PUT, PATCH or DELETE whose entity tags are versions: `If-Match` and `If-None-Match` (RFC
 * 9110 sections 13.1.1, 13.1.2 and 13.2.2). `*` is any version. It throws `bad_request` for a malformed field. The
 * change must not happen, since the client meant to prevent it. A 412 would be wrong, since the row may not have
 * changed.
 */
export function versionCondition(headers: IncomingHttpHeaders): VersionCondition {
  const { 'if-match': matchField, 'if-none-match': noneMatchField } = headers
  if (matchField === undefined && noneMatchField === undefined) return UNCONDITIONAL
  const ifMatch = matchField === undefined ? '*' : parseTags(matchField)
  const ifNoneMatch = noneMatchField === undefined ? [] : parseTags(noneMatchField)
  if (ifMatch === undefined || ifNoneMatch === undefined) throw new Problem('bad_request')
  // Every existing row has some version, so `If-None-Match: *` allows none.
  if (ifNoneMatch === '*') return { only: [], except: null }
  const except = versions(ifNoneMatch)
  return {
    only: ifMatch === '*' ? null : versions(ifMatch),
    except: except.length === 0 ? null : except
  }
}
