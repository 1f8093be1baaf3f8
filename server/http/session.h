// The maker of HTTP/1.1 connections; the connection itself stays in session.cc, with Beast.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <memory>

#include "server/http/connections.h"
#include "server/http/event_loop.h"

namespace sluice {

// `socket` belongs to `loop`; `tls` is null where there is no TLS. The caller adds the connection
// to `connections`, which must outlive it as `loop` must, and starts it.
std::shared_ptr<Connection> make_session(boost::asio::ip::tcp::socket socket,
                                         std::shared_ptr<boost::asio::ssl::context> tls,
                                         EventLoop& loop, Connections& connections);

}  // namespace sluice
