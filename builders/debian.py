"""Which Debian package brings which header, library, pkg-config file or program. Ubuntu has the same names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_PACKAGES: Final = """
libldap2-dev        lber.h ldap.h lber ldap
libsasl2-dev        sasl/sasl.h sasl.h sasl2 libsasl2
libpq-dev           libpq-fe.h postgres_fe.h pg_config pq libpq
default-libmysqlclient-dev  mysql.h mysql/mysql.h mysql_config mariadb_config mysqlclient mariadb libmariadb
libmariadb-dev      mariadb/mysql.h
freetds-dev         sybdb.h sqlfront.h sybdb
unixodbc-dev        sql.h sqlext.h odbc
libsqlite3-dev      sqlite3.h sqlite3
libdb-dev           db.h db
libgdbm-dev         gdbm.h gdbm
liblmdb-dev         lmdb.h lmdb
libleveldb-dev      leveldb/db.h leveldb/c.h leveldb
librocksdb-dev      rocksdb/c.h rocksdb/slice.h rocksdb
libhiredis-dev      hiredis/hiredis.h hiredis
libmemcached-dev    libmemcached/memcached.h memcached libmemcached
libxml2-dev         libxml/xmlversion.h libxml/parser.h libxml/tree.h xml2-config xml2 libxml-2.0
libxslt1-dev        libxslt/xslt.h libxslt/xsltconfig.h xslt-config xslt exslt libxslt libexslt
libxmlsec1-dev      xmlsec/xmlsec.h xmlsec1 xmlsec1-config
libffi-dev          ffi.h ffi libffi
libssl-dev          openssl/ssl.h openssl/opensslv.h openssl/evp.h openssl/aes.h ssl crypto openssl libssl libcrypto
libsodium-dev       sodium.h sodium libsodium
libgcrypt20-dev     gcrypt.h gcrypt
libgpgme-dev        gpgme.h gpgme-config gpgme
libgmp-dev          gmp.h gmp
libmpfr-dev         mpfr.h mpfr
libmpc-dev          mpc.h mpc
libkrb5-dev         gssapi/gssapi.h gssapi.h krb5.h krb5/krb5.h krb5-config gssapi_krb5 krb5-gssapi
libcurl4-openssl-dev  curl/curl.h curl-config curl libcurl
libssh-dev          libssh/libssh.h ssh libssh
libssh2-1-dev       libssh2.h ssh2 libssh2
libgit2-dev         git2.h git2 libgit2
libzmq3-dev         zmq.h zmq libzmq
libevent-dev        event.h event2/event.h event libevent
libev-dev           ev.h ev
libuv1-dev          uv.h uv libuv
libsnappy-dev       snappy-c.h snappy.h snappy
liblzo2-dev         lzo/lzo1x.h lzo2
liblz4-dev          lz4.h lz4 liblz4
liblzma-dev         lzma.h lzma liblzma
libzstd-dev         zstd.h zstd libzstd
libbz2-dev          bzlib.h bz2
zlib1g-dev          zlib.h z zlib
libarchive-dev      archive.h archive libarchive
libreadline-dev     readline/readline.h readline
libncurses-dev      ncurses.h curses.h ncurses tinfo
libedit-dev         editline/readline.h edit libedit
libcap-dev          sys/capability.h cap
libcap-ng-dev       cap-ng.h cap-ng
libacl1-dev         sys/acl.h acl/libacl.h acl libacl
libattr1-dev        attr/xattr.h attr
libseccomp-dev      seccomp.h seccomp libseccomp
libselinux1-dev     selinux/selinux.h selinux libselinux
libaudit-dev        libaudit.h audit
libpam0g-dev        security/pam_appl.h pam
libsystemd-dev      systemd/sd-daemon.h systemd/sd-journal.h systemd libsystemd
libudev-dev         libudev.h udev libudev
libusb-1.0-0-dev    libusb-1.0/libusb.h libusb.h usb-1.0 libusb-1.0
libhidapi-dev       hidapi/hidapi.h hidapi hidapi-libusb
libbluetooth-dev    bluetooth/bluetooth.h bluetooth bluez
libdbus-1-dev       dbus/dbus.h dbus-1
libglib2.0-dev      glib.h glib-object.h gio/gio.h glib-2.0 gobject-2.0 gio-2.0
libgirepository1.0-dev  girepository.h gobject-introspection-1.0
libgirepository-2.0-dev girepository-2.0
libcairo2-dev       cairo.h cairo/cairo.h cairo
libpango1.0-dev     pango/pango.h pango pangocairo
libgdk-pixbuf-2.0-dev gdk-pixbuf/gdk-pixbuf.h gdk-pixbuf-2.0
libgtk-3-dev        gtk/gtk.h gtk+-3.0 gtk-3
libgtk2.0-dev       gtk+-2.0
libwebkit2gtk-4.1-dev webkit2gtk-4.1
libjpeg-dev         jpeglib.h jpeg libjpeg
libpng-dev          png.h png libpng libpng16
libtiff-dev         tiffio.h tiff.h tiff libtiff-4
libwebp-dev         webp/encode.h webp/decode.h webp libwebp
libopenjp2-7-dev    openjpeg.h openjp2 libopenjp2
liblcms2-dev        lcms2.h lcms2
libfreetype-dev     ft2build.h freetype/freetype.h freetype freetype2 freetype-config
libfontconfig-dev   fontconfig/fontconfig.h fontconfig
libharfbuzz-dev     hb.h harfbuzz
libfribidi-dev      fribidi.h fribidi
libraqm-dev         raqm.h raqm
libmagickwand-dev   wand/MagickWand.h MagickWand/MagickWand.h magick/api.h MagickWand MagickWand-config
libpoppler-cpp-dev  poppler/cpp/poppler-document.h poppler-cpp
libqpdf-dev         qpdf/QPDF.hh qpdf libqpdf
libvips-dev         vips/vips.h vips
libheif-dev         libheif/heif.h heif libheif
libavformat-dev     libavformat/avformat.h avformat libavformat
libavcodec-dev      libavcodec/avcodec.h avcodec libavcodec
libswscale-dev      libswscale/swscale.h swscale libswscale
libavdevice-dev     libavdevice/avdevice.h avdevice libavdevice
libavfilter-dev     libavfilter/avfilter.h avfilter libavfilter
libsdl2-dev         SDL.h SDL2/SDL.h sdl2-config SDL2 sdl2
libsdl1.2-dev       SDL/SDL.h sdl-config SDL sdl
portaudio19-dev     portaudio.h portaudio portaudio-2.0
libasound2-dev      alsa/asoundlib.h asound alsa
libpulse-dev        pulse/pulseaudio.h pulse libpulse
libjack-jackd2-dev  jack/jack.h jack
libsndfile1-dev     sndfile.h sndfile
libopus-dev         opus/opus.h opus.h opus
libogg-dev          ogg/ogg.h ogg
libvorbis-dev       vorbis/codec.h vorbis
libportmidi-dev     portmidi.h portmidi
libgl1-mesa-dev     GL/gl.h GL gl
libglu1-mesa-dev    GL/glu.h GLU glu
libegl1-mesa-dev    EGL/egl.h EGL egl
freeglut3-dev       GL/glut.h GL/freeglut.h glut
libglfw3-dev        GLFW/glfw3.h glfw glfw3
libglew-dev         GL/glew.h GLEW glew
libx11-dev          X11/Xlib.h X11/X.h X11 x11
libxext-dev         X11/extensions/Xext.h Xext xext
libxtst-dev         X11/extensions/XTest.h Xtst xtst
libxrandr-dev       X11/extensions/Xrandr.h Xrandr xrandr
libxss-dev          X11/extensions/scrnsaver.h Xss
libxcb1-dev         xcb/xcb.h xcb
libhdf5-dev         hdf5.h hdf5
libnetcdf-dev       netcdf.h netcdf nc-config
libgdal-dev         gdal.h gdal_priv.h gdal gdal-config
libgeos-dev         geos_c.h geos_c geos geos-config
libproj-dev         proj.h proj_api.h proj
libspatialindex-dev spatialindex/capi/sidx_api.h spatialindex_c
libopenblas-dev     cblas.h openblas blas openblas_config.h
liblapack-dev       lapacke.h lapack
libfftw3-dev        fftw3.h fftw3 fftw
libgsl-dev          gsl/gsl_math.h gsl gsl-config
libsuitesparse-dev  umfpack.h cholmod.h suitesparse/umfpack.h umfpack cholmod
libeigen3-dev       Eigen/Core Eigen/Dense eigen3
libboost-all-dev    boost/python.hpp boost/shared_ptr.hpp boost/config.hpp Boost boost_python boost_system boost_thread
libcgal-dev         CGAL/basic.h CGAL
libopencv-dev       opencv2/opencv.hpp opencv opencv4
libprotobuf-dev     google/protobuf/message.h protobuf
libgrpc++-dev       grpc/grpc.h grpc
libyaml-dev         yaml.h yaml
libexpat1-dev       expat.h expat
libicu-dev          unicode/utypes.h unicode/utf.h unicode/ucnv.h icu-config icuuc icu-i18n icui18n
libpcre3-dev        pcre.h pcre pcre-config
libpcre2-dev        pcre2.h pcre2-8 pcre2
libre2-dev          re2/re2.h re2
libhunspell-dev     hunspell.hxx hunspell/hunspell.hxx hunspell
libenchant-2-dev    enchant.h enchant enchant-2
libaspell-dev       aspell.h aspell
libmagic-dev        magic.h magic
libfuse-dev         fuse.h fuse
libfuse3-dev        fuse3/fuse.h fuse3
libvirt-dev         libvirt/libvirt.h libvirt
libxen-dev          xenctrl.h
libpcap-dev         pcap.h pcap/pcap.h pcap libpcap pcap-config
libnetfilter-queue-dev libnetfilter_queue/libnetfilter_queue.h netfilter_queue
libnl-3-dev         netlink/netlink.h nl-3 libnl-3.0
libsnmp-dev         net-snmp/net-snmp-config.h netsnmp net-snmp-config
libsmbclient-dev    libsmbclient.h smbclient
libcups2-dev        cups/cups.h cups/http.h cups cups-config
libsane-dev         sane/sane.h sane
libzbar-dev         zbar.h zbar
libdmtx-dev         dmtx.h dmtx
libtesseract-dev    tesseract/baseapi.h tesseract
libleptonica-dev    leptonica/allheaders.h lept
librdkafka-dev      librdkafka/rdkafka.h rdkafka
librabbitmq-dev     amqp.h rabbitmq
libmosquitto-dev    mosquitto.h mosquitto
libthrift-dev       thrift/Thrift.h thrift
libnuma-dev         numa.h numa
libibverbs-dev      infiniband/verbs.h ibverbs
libopenmpi-dev      mpi.h mpicc mpi
libhwloc-dev        hwloc.h hwloc
libpapi-dev         papi.h papi
ocl-icd-opencl-dev  CL/cl.h OpenCL
libvulkan-dev       vulkan/vulkan.h vulkan
libaio-dev          libaio.h aio
liburing-dev        liburing.h uring liburing
libunwind-dev       libunwind.h unwind
libdw-dev           elfutils/libdw.h dw
libelf-dev          libelf.h gelf.h elf libelf
libiberty-dev       libiberty/demangle.h
binutils-dev        bfd.h
libclang-dev        clang-c/Index.h libclang
llvm-dev            llvm-config llvm-c/Core.h llvm/IR/Module.h LLVM
libjansson-dev      jansson.h jansson
libjson-c-dev       json-c/json.h json-c
libmaxminddb-dev    maxminddb.h maxminddb
libgeoip-dev        GeoIP.h GeoIP
libidn11-dev        idna.h idn
libidn2-dev         idn2.h idn2
libkyotocabinet-dev kccommon.h kyotocabinet
libtokyocabinet-dev tcbdb.h tokyocabinet
libxapian-dev       xapian.h xapian
libgraphviz-dev     graphviz/cgraph.h cgraph libcgraph
libigraph-dev       igraph/igraph.h igraph
libsoup2.4-dev      libsoup-2.4
libnotify-dev       libnotify
libcodec2-dev       codec2/codec2.h
libmad0-dev         mad.h mad
libtag1-dev         taglib/fileref.h taglib/tag_c.h tag taglib
libmpdclient-dev    mpd/client.h mpdclient
libcdio-dev         cdio/cdio.h cdio
libsensors-dev      sensors/sensors.h sensors
libgpiod-dev        gpiod.h gpiod
libi2c-dev          i2c/smbus.h
libmodbus-dev       modbus.h modbus
libsecp256k1-dev    secp256k1.h secp256k1 libsecp256k1
libmecab-dev        mecab.h mecab mecab-config
python3-dev         Python.h
tk-dev              tk.h tcl.h tk tcl
qtbase5-dev         QtCore/QtCore QtGlobal qmake Qt5Core
ruby-dev            ruby.h
default-jdk         jni.h javac java JAVA_HOME
nvidia-cuda-toolkit cuda.h cuda_runtime.h nvcc CUDA_HOME
cargo               cargo rustc
cmake               cmake
ninja-build         ninja
meson               meson
make                make gmake
gcc                 gcc cc
g++                 g++ c++
clang               clang
gfortran            gfortran f77 f95
swig                swig
bison               bison
flex                flex lex
nasm                nasm
yasm                yasm
autoconf            autoconf autoreconf
automake            automake aclocal
libtool             libtool libtoolize glibtoolize
pkg-config          pkg-config pkgconf
gettext             msgfmt
patch               patch
perl                perl
git                 git
mercurial           hg
subversion          svn
golang-go           go
nodejs              node
npm                 npm
protobuf-compiler   protoc
doxygen             doxygen
graphviz            dot
texinfo             makeinfo
help2man            help2man
xxd                 xxd
wget                wget
curl                curl
unzip               unzip
"""
"""A Debian package a line, and behind it what it brings: headers, libraries, pkg-config names, programs."""


def _provided() -> Mapping[str, str]:
    packages: dict[str, str] = {}
    for line in _PACKAGES.split("\n"):
        words = line.split()
        for name in words[1:]:
            packages.setdefault(name, words[0])
    return packages


PROVIDED: Final = _provided()
"""Package of Debian by what it brings."""
