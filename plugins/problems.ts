import type { IncomingMessage } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { classify, codeOf } from '../src/db/errors.ts'
import { AllowedMethods } from '../src/http/allowed-methods.ts'
import { problemOfFramework } from '../src/http/framework-errors.ts'
import { Problem, type ProblemCode, sendProblem } from '../src/http/problems.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Answers a request without a route: 404, 405 with `Allow`, or the problem in `routerErrors`. */
    answerNotFound(request: FastifyRequest, reply: FastifyReply): FastifyReply
    /** The methods that the path of a URL answers, as `Allow` lists them; undefined when no route has the path. */
    allowedMethods(url: string): string | undefined
    /** Requests that were refused before they were routed, and why. */
    routerErrors: WeakMap<IncomingMessage, ProblemCode>
  }
}

/** Answers everything that goes wrong with a problem document: thrown errors, unknown paths (404) and methods (405). */
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
    // With a handler the hooks apply to such requests, too.
    app.setNotFoundHandler(answerNotFound)

    app.setErrorHandler((error: FastifyError | Problem, request, reply) => {
      if (error instanceof Problem) return sendProblem(reply, error.problem, error.issues)
      const expected = ('query' in error ? classify(error) : undefined) ?? problemOfFramework(error, undefined)
      if (expected === 'unavailable') request.log.warn({ code: codeOf(error) }, 'answered 503')
      if (expected !== undefined) return sendProblem(reply, expected)
      request.log.error({ err: error }, 'answered 500')
      return sendProblem(reply, 'internal_error')
    })
  },
  { name: 'problems', dependencies: ['headers', 'request-id'] }
)
