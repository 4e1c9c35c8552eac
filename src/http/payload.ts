import type { FastifyReply } from 'fastify'

/** The bytes of an answer; 0 when the answer has no known length, as a stream of changes. */
export function payloadBytes(payload: unknown, reply: FastifyReply): number {
  if (typeof payload === 'string') return Buffer.byteLength(payload)
  if (Buffer.isBuffer(payload)) return payload.length
  return Number(reply.getHeader('content-length') ?? 0)
}
