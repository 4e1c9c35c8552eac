import type { IncomingMessage } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { classify, codeOf } from '../src/db/errors.ts'
import { AllowedMethods } from '../src/http/allowed-methods.ts'
import { problemOfFramework } from '../src/http/framework-errors.ts'
import { Problem, type ProblemCode, sendProblem } from '../src/http/problems.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Answers a request without a route: with 404, with 405 and `Allow`, or with its problem in `routerErrors`. */
    answerNotFound(request: FastifyRequest, reply: FastifyReply): FastifyReply
    /** Returns the methods of a URL's path in the form of `Allow`; undefined when no route has the path. */
    allowedMethods(url: string): string | undefined
    /** The problems of requests that were refused before they were routed. */
    routerErrors: WeakMap<IncomingMessage, ProblemCode>
  }
}

/**
 * Answers a thrown error with a problem document, which tells nothing of the database. An application that uses single
 * plugins of ours sets it: `app.setErrorHandler(answerError)`.
 */
export function answerError(error: FastifyError | Problem, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (error instanceof Problem) return sendProblem(reply, error.problem, error.issues, error.message)
  const expected = ('query' in error ? classify(error) : undefined) ?? problemOfFramework(error, undefined)
  if (expected === 'unavailable') request.log.warn({ code: codeOf(error) }, 'answered 503')
  if (expected !== undefined) return sendProblem(reply, expected)
  request.log.error({ err: error }, 'answered 500')
  return sendProblem(reply, 'internal_error')
}

/** Answers thrown errors, unknown paths (404) and unknown methods (405) with a problem document. */
export default fp(
  async (app) => {
    const allowed = new AllowedMethods()
    app.addHook('onRoute', (route) => allowed.add(route))
    app.decorate('allowedMethods', (url) => allowed.of(url))
    app.decorate('routerErrors', new WeakMap())

    const answerNotFound = (request: FastifyRequest, reply: FastifyReply) => {
      const routerError = app.routerErrors.get(request.raw)
      if (routerError !== undefined) return sendProblem(reply, routerError)
      const allow = app.allowedMethods(request.url)
      if (allow === undefined) return sendProblem(reply, 'not_found')
      reply.header('allow', allow)
      return request.method === 'OPTIONS' ? reply.code(204).send() : sendProblem(reply, 'method_not_allowed')
    }
    app.decorate('answerNotFound', answerNotFound)
    // Fastify runs the hooks for requests without a route only when a handler is set.
    app.setNotFoundHandler(answerNotFound)

    app.setErrorHandler(answerError)
  },
  { name: 'problems', dependencies: ['headers', 'request-id'] }
)
