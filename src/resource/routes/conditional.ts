import type { FastifyReply, FastifyRequest } from 'fastify'
import { isAnother, isUnchanged } from '../../http/entity-tag.ts'
import { JSON_TYPE } from '../../http/openapi.ts'
import { sendProblem } from '../../http/problems.ts'

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
