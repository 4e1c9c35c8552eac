import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isAnother, isUnchanged, parseTags } from '../http/entity-tag.ts'
import { JSON_TYPE } from '../http/openapi.ts'
import { Problem, sendProblem } from '../http/problems.ts'

/** The versions that a row may have: one of `ifMatch` unless that is null, and none of `ifNoneMatch`. */
export interface VersionCondition {
  ifMatch: number[] | null
  ifNoneMatch: number[] | null
}

const VERSION = /^"([1-9]\d{0,9})"$/
// The largest integer of PostgreSQL. No row has a greater version.
const MAX_VERSION = 2 ** 31 - 1

const versions = (tags: string[]) =>
  tags.map((tag) => Number(VERSION.exec(tag)?.[1])).filter((version) => version <= MAX_VERSION)

/** The condition of a request without preconditions. */
export const UNCONDITIONAL: VersionCondition = { ifMatch: null, ifNoneMatch: null }

/**
 * Parses the precondition of a PUT, PATCH or DELETE whose entity tags are versions: `If-Match` and `If-None-Match` (RFC
 * 9110 sections 13.1.1, 13.1.2 and 13.2.2). `*` is any version. It throws `bad_request` for a malformed field. The
 * change must not happen, since the client meant to prevent it. A 412 would be wrong, since the row may not have
 * changed.
 */
export function versionCondition(headers: IncomingHttpHeaders): VersionCondition {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers
  if (match === undefined && noneMatch === undefined) return UNCONDITIONAL
  const wanted = match === undefined ? '*' : parseTags(match)
  const unwanted = noneMatch === undefined ? [] : parseTags(noneMatch)
  if (wanted === undefined || unwanted === undefined) throw new Problem('bad_request')
  // Every existing row has some version, so `If-None-Match: *` allows none.
  if (unwanted === '*') return { ifMatch: [], ifNoneMatch: null }
  const excluded = versions(unwanted)
  return {
    ifMatch: wanted === '*' ? null : versions(wanted),
    ifNoneMatch: excluded.length === 0 ? null : excluded
  }
}

/** Answers a GET or HEAD: what `etag` names, that the client has it, or that it is not what the client asks for. */
export function sendUnlessKnown(request: FastifyRequest, reply: FastifyReply, etag: string, json: string | Buffer) {
  reply.header('etag', etag)
  if (isAnother(request.headers, etag)) return sendProblem(reply, 'precondition_failed')
  if (isUnchanged(request.headers, etag)) {
    reply.code(304)
    // Fastify would give a HEAD without a body the length 0. It is that of the 200, or absent (RFC 9110 section 8.6).
    if (request.method !== 'HEAD') return reply.send()
  }
  return reply.type(JSON_TYPE).send(json)
}
