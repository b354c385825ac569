package mockserver

import "net/http"

// Route puts h where the generated stubs are, behind all stages.
func (s *Server) Route(h http.Handler) { s.handler = s.pipeline(h) }
